package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminAPI serves /byoa/ on Caddy's admin address: what the operator sees of the
// environments, and what they can do about a leaked token. Who may ask is Caddy's to say.
//
// It has no state and is not provisioned: it is asked about the config in force, and
// Caddy makes one of it for configs that it refuses later, too.
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.byoa",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

// Routes implements [caddy.AdminRouter].
func (adminAPI) Routes() []caddy.AdminRoute {
	const one = "/byoa/environments/{name}/"
	return []caddy.AdminRoute{
		{Pattern: "/byoa/health", Handler: reading(adminHealth)},
		{Pattern: "/byoa/environments", Handler: reading(adminEnvironments)},
		{Pattern: one + "decisions", Handler: reading(named(adminDecisions))},
		{Pattern: one + "check", Handler: adminCall{http.MethodPost, named(adminCheck)}},
		{Pattern: one + "disable", Handler: acting(http.MethodPost, named(adminDisable))},
		{Pattern: one + "enable", Handler: acting(http.MethodPost, named(adminEnable))},
		{Pattern: one + "keys/rotate", Handler: acting(http.MethodPost, named(adminRotate))},
		{Pattern: "/byoa/sessions/{sid}", Handler: acting(http.MethodDelete, adminRevokeSession)},
		{Pattern: "/byoa/users/{id}/sessions", Handler: acting(http.MethodDelete, adminRevokeUser)},
		{Pattern: "/byoa/", Handler: caddy.AdminHandlerFunc(adminNotFound)},
	}
}

// adminFunc answers a request about the app in force.
type adminFunc func(w http.ResponseWriter, r *http.Request, app *App) error

// adminCall is one endpoint. Its path is part of the pattern that it is registered with,
// without the method, so that another method is answered in Caddy's form of errors.
type adminCall struct {
	method string
	answer adminFunc
}

// reading makes an endpoint that changes nothing.
func reading(answer adminFunc) adminCall { return adminCall{http.MethodGet, answer} }

// acting makes an endpoint that does one thing, takes no parameters but those of its
// path, and gives up where a store does not answer.
func acting(method string, answer adminFunc) adminCall {
	return adminCall{method, func(w http.ResponseWriter, r *http.Request, app *App) error {
		if err := wantNoBody(r); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), visitKey{}, operatorVisit(r)), actionTimeout)
		defer cancel()
		return answer(w, r.WithContext(ctx), app)
	}}
}

// actionTimeout bounds what an action waits for a store, or for the storage of the signing keys.
const actionTimeout = 10 * time.Second

// operatorVisit is what the audit log says of who had something done. The path is that of
// the endpoint: what stands in its place may be a token that somebody mistook for an id.
func operatorVisit(r *http.Request) *visit {
	v := &visit{method: r.Method, path: r.Pattern}
	v.clientIP, _, _ = net.SplitHostPort(r.RemoteAddr) // none on a socket of this machine
	return v
}

// ServeHTTP implements [caddy.AdminHandler].
func (c adminCall) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	if allowed := c.allowed(); !slices.Contains(allowed, r.Method) {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return adminError(http.StatusMethodNotAllowed, fmt.Errorf("this endpoint takes %s alone", strings.Join(allowed, " and ")))
	}
	app, leave := running.enter()
	defer leave()
	if app == nil {
		return adminError(http.StatusServiceUnavailable, errors.New("no config with the app byoa is running"))
	}
	return c.answer(w, r, app)
}

func (c adminCall) allowed() []string {
	if c.method == http.MethodGet {
		return []string{http.MethodGet, http.MethodHead}
	}
	return []string{c.method}
}

// named finds the environment that the path names.
func named(answer func(http.ResponseWriter, *http.Request, *live, *gateway.Environment) error) adminFunc {
	return func(w http.ResponseWriter, r *http.Request, app *App) error {
		l, ok := app.live[r.PathValue("name")]
		if !ok {
			// What was asked for is not repeated: it may be a token in the wrong place.
			return adminError(http.StatusNotFound, fmt.Errorf("no environment has this name; known: %s", strings.Join(app.names(), ", ")))
		}
		env, err := l.gateway()
		if err != nil {
			return adminError(http.StatusServiceUnavailable, fmt.Errorf("opening environment %s: %w", l.name, err))
		}
		return answer(w, r, l, env)
	}
}

// adminNotFound answers every path that is no endpoint.
func adminNotFound(http.ResponseWriter, *http.Request) error {
	return adminError(http.StatusNotFound, errors.New("no endpoint of byoa has this path"))
}

// writeAdmin answers with v. Like every answer of this API it holds no token.
func writeAdmin(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
	return nil
}

// Interface guards
var (
	_ caddy.AdminRouter  = adminAPI{}
	_ caddy.AdminHandler = adminCall{}
)
