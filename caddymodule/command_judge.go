package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/certmagic"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// A judge holds tokens against the rules of one environment of a config that is
// loaded and not started.
type judge struct {
	order *checkOrder
	app   *App
	live  *live
}

// loadJudge loads the config. The caller closes the judge.
func loadJudge(o *checkOrder) (*judge, error) {
	app, err := loadApp(o.config, o.adapter)
	if err != nil {
		return nil, err
	}
	l, err := app.environment(o.environment)
	if err != nil {
		return nil, fmt.Errorf("choosing the environment: %w", err)
	}
	return &judge{order: o, app: app, live: l}, nil
}

func (j *judge) close() {
	_ = j.app.Cleanup() // only the key sets are open, and they have nothing to lose
}

// loadApp provisions the app alone: a token can be judged where the certificates and
// the log files of the config are not.
func loadApp(file, adapter string) (*App, error) {
	apps, err := loadApps(file, adapter)
	if err != nil {
		return nil, err
	}
	return provisionApp(apps)
}

// loadApps reads the config of each app.
func loadApps(file, adapter string) (caddy.ModuleMap, error) {
	config, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return nil, fmt.Errorf("loading the config: %w", err)
	}
	if len(config) == 0 {
		return nil, errors.New("no config: name one with --config")
	}
	var c struct {
		Apps caddy.ModuleMap `json:"apps"`
	}
	if err := json.Unmarshal(caddy.RemoveMetaFields(config), &c); err != nil {
		return nil, fmt.Errorf("decoding the config: %w", err)
	}
	return c.Apps, nil
}

// provisionApp provisions the byoa app, and no other.
func provisionApp(apps caddy.ModuleMap) (*App, error) {
	if apps["byoa"] == nil {
		return nil, errors.New("the config has no environment: it lacks the global option byoa")
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{AppsRaw: caddy.ModuleMap{"byoa": apps["byoa"]}})
	if err != nil {
		return nil, fmt.Errorf("checking the config: %w", err)
	}
	return appOf(ctx)
}

// try returns what becomes of the token. An error means that it could not be judged.
func (j *judge) try(ctx context.Context, token string) ([]verifier.Check, error) {
	parsed, err := verifier.Parse(token, int(j.live.config.MaxTokenSize))
	if err != nil {
		return []verifier.Check{{Name: "form", Err: err}}, nil
	}
	p, err := j.choose(parsed)
	if verifier.CodeOf(err) != "" {
		return []verifier.Check{{Name: "form"}, {Name: "issuer", Err: err}}, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := j.open(p)
	if err != nil {
		return nil, err
	}
	if !j.order.assertion {
		return j.orDisabled(explained(v, v.Check(ctx, token))), nil
	}
	checks := explained(v, v.CheckAssertion(ctx, token, j.order.subject))
	return j.orDisabled(append(checks, verifier.Check{Name: "scope_allowed", Err: j.checkScopes(token)})), nil
}

// orDisabled adds that the environment is switched off, if it is.
func (j *judge) orDisabled(checks []verifier.Check) []verifier.Check {
	if on := j.live.config.Enabled; on != nil && !*on {
		return append(checks, verifier.Check{Name: "enabled", Err: errors.New("the environment is switched off")})
	}
	return checks
}

// choose returns the provider to judge by: the one that was asked for, else the one
// that the token names, else the only one there is.
func (j *judge) choose(token *verifier.Token) (*trusted, error) {
	find := func(issuer string) *trusted {
		i := slices.IndexFunc(j.live.providers, func(t *trusted) bool { return t.config.Issuer == issuer })
		if i < 0 {
			return nil
		}
		return j.live.providers[i]
	}
	if asked := j.order.issuer; asked != "" {
		if p := find(asked); p != nil {
			return p, nil
		}
		return nil, fmt.Errorf("--issuer: no provider has it; configured: %s", j.issuers())
	}
	issuer := token.Issuer()
	p := find(issuer)
	switch {
	case p != nil:
		return p, nil
	case len(j.live.providers) == 1:
		return j.live.providers[0], nil
	case !token.NamesIssuer() && j.order.assertion:
		return nil, fmt.Errorf("the assertion names no issuer: choose the one that the user signed in with by --issuer; configured: %s", j.issuers())
	}
	return nil, &verifier.Error{
		Code: verifier.CodeIssuerMismatch,
		Err:  fmt.Errorf("iss is %.80q, which no provider has; configured: %s", issuer, j.issuers()),
	}
}

func (j *judge) issuers() string {
	var all []string
	for _, p := range j.live.providers {
		all = append(all, p.config.Issuer)
	}
	return strings.Join(all, ", ")
}

// open makes the verifier that the running gateway would make, but for the kept copy
// of the issuer's keys: that is neither read nor written.
func (j *judge) open(p *trusted) (*verifier.Verifier, error) {
	o := j.live.opening()
	o.Storage = noStorage{}
	opened, err := p.open(o)
	if err != nil {
		return nil, fmt.Errorf("opening the keys of issuer %q: %w", p.config.Issuer, err)
	}
	return opened.Verifier, nil
}

// checkScopes refuses scopes that the environment does not have, as the gateway would
// when it grants them. A missing or malformed scope is the verifier's to report.
func (j *judge) checkScopes(token string) error {
	if len(j.live.config.Scopes) == 0 {
		return nil
	}
	claims, err := verifier.ParseClaims(payloadOf(token))
	if err != nil {
		return nil
	}
	value, _ := claims.Get("scope")
	text, _ := value.(string)
	scopes, err := verifier.ParseScopes(text)
	if err != nil {
		return nil
	}
	for _, name := range scopes.Names() {
		if _, ok := j.live.config.Scopes[name]; !ok {
			return &verifier.Error{
				Code: gateway.CodeScopeNotAllowed,
				Err:  fmt.Errorf("the environment has no scope %q", name),
			}
		}
	}
	return nil
}

// explained adds to a failed signature check why there are no keys.
func explained(v *verifier.Verifier, checks []verifier.Check) []verifier.Check {
	remote, ok := v.Keys().(*verifier.RemoteKeySet)
	if !ok {
		return checks
	}
	for i, c := range checks {
		if cause := remote.Status().Err; cause != nil && verifier.CodeOf(c.Err) == verifier.CodeKeysUnavailable {
			checks[i].Err = fmt.Errorf("%w: %w", c.Err, cause)
		}
	}
	return checks
}

// noStorage has nothing and keeps nothing.
type noStorage struct{ certmagic.Storage }

// Load finds nothing.
func (noStorage) Load(context.Context, string) ([]byte, error) { return nil, fs.ErrNotExist }

// Store forgets at once.
func (noStorage) Store(context.Context, string, []byte) error { return nil }
