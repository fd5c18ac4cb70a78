package caddymodule

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// App holds the environments: whom each trusts, what it grants, and what has to
// be remembered. The handlers `byoa`, `step_up` and `byoa_api` refer to them by name.
type App struct {
	// The environments by name. A name has 1 to 64 letters, digits, `_` and `-`.
	Environments map[string]*Environment `json:"environments,omitempty"`

	live    map[string]*live
	lease   *lease
	emitter *emitter
	asked   *scopesAsked
	logger  *zap.Logger
	ctx     caddy.Context
}

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "byoa",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision checks the config and prepares what can be prepared without touching
// anything outside: a config is also provisioned only to be validated, beside a running one.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.logger, a.lease, a.asked = ctx, ctx.Logger(), new(lease), new(scopesAsked)
	a.live = make(map[string]*live, len(a.Environments))
	if err := loadEnvironments(a.Environments); err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	if err := metrics.register(ctx.GetMetricsRegistry()); err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	var err error
	if a.emitter, err = newEmitter(ctx); err == nil {
		err = a.emitter.whenStarted(a.enterIntoForce)
	}
	if err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	headers := new(gateHeaders)
	for _, name := range a.names() {
		l, err := provisionEnvironment(ctx, name, a.Environments[name], a.lease, headers)
		if err != nil {
			return fmt.Errorf("byoa: environment %s: %w", name, err)
		}
		for _, w := range a.Environments[name].warnings() {
			a.logger.Warn(w, zap.String("environment", name))
		}
		a.live[name] = l
	}
	return a.checkOwnIssuers()
}

// checkOwnIssuers refuses a provider whose issuer is an environment itself: the tokens
// of one environment are never good in another.
func (a *App) checkOwnIssuers() error {
	for _, name := range a.names() {
		local, ok := a.live[name].exchanger.(*LocalExchanger)
		if !ok {
			continue
		}
		for _, other := range a.names() {
			if err := local.apartFrom(a.Environments[name], a.Environments[other]); err != nil {
				return fmt.Errorf("byoa: environment %s: exchange local: %w, and environment %s has one", name, err, other)
			}
		}
	}
	return nil
}

// Start opens stores, keys and key sets. One that cannot be opened refuses the config.
func (a *App) Start() error {
	for _, name := range a.names() {
		if _, err := a.live[name].gateway(); err != nil {
			return fmt.Errorf("byoa: environment %s: %w", name, err)
		}
	}
	for _, warning := range a.asked.ungranted() {
		a.logger.Warn(warning)
	}
	a.warnOfServers()
	return nil
}

// enterIntoForce is called when every app of the config has started. Before, the config
// may still be refused: what an operator has done to it would be lost with it.
func (a *App) enterIntoForce() {
	running.push(a)
	a.lease.serve()
	a.emitter.start()
}

// Stop leaves everything open, and Cleanup follows.
func (a *App) Stop() error {
	running.remove(a)
	a.emitter.stop()
	return nil
}

// Cleanup lets go of what was opened, once no request is under way with it any more. Caddy
// calls it also for a config that was refused half-way, and without Stop for one that was
// refused after all of its apps had started.
func (a *App) Cleanup() error {
	running.remove(a)
	if a.lease == nil {
		return nil
	}
	return a.lease.leaveBehind(running.app() != nil && !caddy.Exiting())
}

// environment finds the one that a handler means: the named one, else the only one, else `default`.
func (a *App) environment(name string) (*live, error) {
	name, err := chooseEnvironment(a.names(), name)
	if err != nil {
		return nil, err
	}
	return a.live[name], nil
}

// environmentWith finds the one that has this id, or nil.
func (a *App) environmentWith(id string) *live {
	for _, l := range a.live {
		if l.config.ID == id {
			return l
		}
	}
	return nil
}

func (a *App) names() []string { return slices.Sorted(maps.Keys(a.Environments)) }

// warnOfServers says which servers log requests with their tokens in them, and which have a
// gate that requests can pass by.
func (a *App) warnOfServers() {
	app, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return
	}
	servers := app.(*caddyhttp.App)
	for _, warning := range slices.Concat(unguardedServers(a.ctx, servers), leakyServers(servers)) {
		a.logger.Warn(warning)
	}
}

// appOf is the app that a handler's environments live in.
func appOf(ctx caddy.Context) (*App, error) {
	app, err := ctx.AppIfConfigured("byoa")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, errors.New("no environment is configured: add the global option byoa with an environment block")
	}
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

// logOf is for things that outlive one config.
func logOf(environment string) *zap.Logger {
	return moduleLog().With(zap.String("environment", environment))
}

// moduleLog writes to the logs of the config in force that take the lines of `byoa`.
// While there is none, that is Caddy's default log.
func moduleLog() *zap.Logger {
	if app := running.app(); app != nil {
		return app.logger
	}
	return caddy.Log().Named("byoa")
}

// hashed is a name made of parts, each with its length, so that no two lists of parts share one.
func hashed(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
