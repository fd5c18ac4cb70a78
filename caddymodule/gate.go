package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// gate is a [Gate] once its config was accepted.
type gate struct {
	live     *live
	paths    pathClass
	sources  *sources
	own      *managed        // what it sets
	managed  func() *managed // what it takes away
	trailers func() *managed // more than the headers: see trailerNames
	params   func() []string // of the query, in which any gate reads the external JWT
	logger   *zap.Logger
}

// Provision checks the config and finds the environment.
func (g *Gate) Provision(ctx caddy.Context) error {
	g.setDefaults()
	if err := g.validate(); err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	app, err := appOf(ctx)
	if err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	if g.live, err = app.environment(g.Environment); err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	e := g.live.config
	if err := g.validateWith(e); err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	if g.paths, err = parsePathClasses(g.AllowPath); err != nil {
		return fmt.Errorf("byoa: allow_path: %w", err)
	}
	g.sources = newSources(e.Header, e.CookieName, e.Session.Cookie, g.AllowQuery)
	g.sources.addCookiesOf(app.Environments)
	app.asked.of(e)
	if err := g.manageHeaders(); err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	g.logger = ctx.Logger()
	hideFromLogs(hidden{headers: []string{g.TokenHeader.Name, g.ElevatedHeader}, query: []string{g.AllowQuery}})
	if g.AllowQuery != "" {
		return requireGuardedLogs(ctx, "byoa: allow_query")
	}
	return nil
}

func (g *Gate) managedNames() []string {
	var names []string
	for _, h := range g.managedHeaders() {
		names = append(names, h.name)
	}
	return names
}

// needs is a [StepUp] once its config was accepted: what a request needs, by its method and path.
type needs struct {
	table  *routeTable // nil: every request needs the scopes
	scopes verifier.Scopes
	logger *zap.Logger
}

// Provision compiles what is needed.
func (s *StepUp) Provision(ctx caddy.Context) error {
	s.logger = ctx.Logger()
	if err := s.validate(); err != nil {
		return fmt.Errorf("step_up: %w", err)
	}
	if err := s.compile(); err != nil {
		return fmt.Errorf("step_up: %w", err)
	}
	if app, err := appOf(ctx); err == nil && !s.ReportOnly { // without one no request gets as far as here
		app.asked.add(s)
	}
	return nil
}

// compile makes ready what every request needs, or the table.
func (s *StepUp) compile() (err error) {
	if len(s.Scopes) > 0 {
		s.scopes, err = scopesOf(s.Scopes)
		return err
	}
	documented, err := s.documentedRoutes()
	if err != nil {
		return fmt.Errorf("openapi: %w", err)
	}
	s.table, err = s.compileTable(documented)
	return err
}

// documentedRoutes are the routes of the OpenAPI document, if there is one.
func (s *StepUp) documentedRoutes() ([]route, error) {
	if s.OpenAPI == "" {
		return nil, nil
	}
	file, err := caddy.NewReplacer().ReplaceOrErr(s.OpenAPI, true, true)
	if err != nil {
		return nil, err
	}
	return openAPIRoutes(file)
}

// compileTable compiles the routes that are written, those of the document, and what
// becomes of the rest. Where both have one and the same line nobody could tell which
// of them was meant, so that is the conflict that it is between two written lines.
func (s *StepUp) compileTable(documented []route) (*routeTable, error) {
	routes := make([]route, 0, len(s.Routes))
	for _, r := range s.Routes {
		scopes, err := scopesOf(r.Scopes)
		if err != nil {
			return nil, err
		}
		routes = append(routes, route{method: r.Method, pattern: r.Pattern, need: rule{deny: r.Deny, scopes: scopes}})
	}
	return newRouteTable(append(routes, documented...), rule{deny: s.Default != unmatchedSession})
}

// scopesOf is the set of these names; none of them is the empty set.
func scopesOf(names []string) (verifier.Scopes, error) {
	if len(names) == 0 {
		return verifier.Scopes{}, nil
	}
	return verifier.ParseScopes(strings.Join(names, " "))
}

// of is what r needs. The path that decides is the one as it was rewritten so far.
func (s *StepUp) of(r *http.Request) (need gateway.Need, deny bool) {
	required := rule{scopes: s.scopes}
	if s.table != nil {
		required = s.table.lookup(methodSent(r), r.URL.EscapedPath())
	}
	return gateway.Need{Scopes: required.scopes, MaxAge: time.Duration(s.MaxAge), ACR: s.ACR}, required.deny
}

// methodSent is the method that the upstream gets. An extended CONNECT (RFC 8441, RFC
// 9220) for a WebSocket reaches it as the GET of an upgrade, so it is under the rule of that GET.
func methodSent(r *http.Request) string {
	if r.Method != http.MethodConnect {
		return r.Method
	}
	if r.ProtoMajor == 2 && r.Header.Get(":protocol") == "websocket" || r.ProtoMajor == 3 && r.Proto == "websocket" {
		return http.MethodGet
	}
	return r.Method
}

// An admission is what the gate decided about one request, for the handlers behind it.
type admission struct {
	gate      *Gate
	session   *gateway.Session // nil: nobody's
	proof     gateway.Proof
	earlier   *admission      // by the gate before this one
	needed    verifier.Scopes // by the step_up handlers so far
	preflight bool            // a browser's question, which carries no credential and is asked for none
}

type admissionKey struct{}

// admissionOf is nil where no gate stands before this handler.
func admissionOf(r *http.Request) *admission {
	a, _ := r.Context().Value(admissionKey{}).(*admission)
	return a
}

func (a *admission) on(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), admissionKey{}, a))
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Gate)(nil)
	_ caddy.Provisioner           = (*StepUp)(nil)
	_ caddyhttp.MiddlewareHandler = (*Gate)(nil)
	_ caddyhttp.MiddlewareHandler = (*StepUp)(nil)
)
