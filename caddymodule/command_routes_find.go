package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A guard is a byoa or step_up handler, and how requests come to it.
type guard struct {
	server string
	listen []string
	way    []*passage // the routes that enclose it, outermost first

	gate        *Gate // nil: a step_up
	environment string
	off         bool // the environment is switched off
	stepUp      *StepUp
	before      []*guard     // the gates that a request to it may have passed
	rewritings  []*rewriting // what a request to it may have been rewritten by
	followed    bool         // of a gate: it is before a step_up
	stripped    bool         // of a gate in an error route: the request may have lost its token to another
}

// A passage is a route that encloses a guard. A request comes through it if it matches.
type passage struct {
	caddyhttp.Route
	note string // what is to be said of it beyond its matchers
}

// guardSearch walks through the routes of a server as a request does.
type guardSearch struct {
	app    *App
	name   string
	server *caddyhttp.Server
	found  []*guard
	failed []*guard // the guards whose requests may have come to the error route that is walked through

	passed     []*guard     // the gates that are before what comes next
	rewritings []*rewriting // and the rewrite handlers

	named   []string // the named routes that are being walked through
	invoked int      // how often one was
}

// findGuards returns the guards of all servers, in the order in which requests come to them.
func findGuards(app *App, servers map[string]*caddyhttp.Server) ([]*guard, error) {
	var all []*guard
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		s := guardSearch{app: app, name: name, server: servers[name]}
		if s.server == nil {
			continue
		}
		err := s.list(s.server.Routes, nil)
		if err == nil && s.server.Errors != nil {
			// Caddy undoes what became of the URL. What the gates took out of the headers is gone.
			s.passed, s.rewritings, s.failed = nil, nil, s.found
			err = s.list(s.server.Errors.Routes, []*passage{{note: "after an error"}})
		}
		if err != nil {
			return nil, fmt.Errorf("server %s: %w", name, err)
		}
		all = append(all, s.found...)
	}
	return all, nil
}

func (s *guardSearch) list(routes caddyhttp.RouteList, way []*passage) error {
	for _, r := range routes {
		if err := s.route(&passage{Route: r}, way); err != nil {
			return err
		}
	}
	return nil
}

func (s *guardSearch) route(p *passage, way []*passage) error {
	way = append(slices.Clip(way), p)
	for _, raw := range p.HandlersRaw {
		var h struct {
			Handler string                     `json:"handler"`
			Name    string                     `json:"name"`   // of an invoke
			Routes  caddyhttp.RouteList        `json:"routes"` // of a subroute
			Errors  *caddyhttp.HTTPErrorConfig `json:"errors"`
		}
		err := json.Unmarshal(raw, &h)
		switch h.Handler {
		case "byoa":
			err = s.foundGate(raw, way)
		case "step_up":
			err = s.foundStepUp(raw, way)
		case "rewrite":
			err = s.foundRewrite(raw, way)
		case "invoke":
			err = s.invoke(h.Name, way)
		case "subroute":
			if err != nil {
				return fmt.Errorf("subroute: %w", err)
			}
			err = s.subroute(h.Routes, h.Errors, way)
		default:
			err = s.nested(raw, h.Handler, way)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// foundGate takes down a byoa handler. It is not provisioned: that concerns logs, which are
// not loaded here.
func (s *guardSearch) foundGate(raw json.RawMessage, way []*passage) error {
	g := new(Gate)
	bare, err := withoutName(raw)
	if err == nil {
		err = caddy.StrictUnmarshalJSON(bare, g)
	}
	if err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	g.setDefaults()
	if err := g.validate(); err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	l, err := s.app.environment(g.Environment)
	if err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	if err := g.validateWith(l.config); err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	if g.Beside {
		return nil // it guards nothing
	}
	found := s.guard(way)
	found.gate, found.environment = g, l.name
	found.off = l.config.Enabled != nil && !*l.config.Enabled
	found.stripped = slices.ContainsFunc(s.failed, found.losesTokenTo)
	s.passed = append(slices.Clip(s.passed), found)
	return nil
}

// withoutName is the config of a handler without the name that chose it.
func withoutName(raw json.RawMessage) (json.RawMessage, error) {
	var config map[string]json.RawMessage
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, err
	}
	delete(config, "handler")
	return json.Marshal(config)
}

// foundStepUp takes down a step_up handler, whose table is compiled as it would be for a server.
func (s *guardSearch) foundStepUp(raw json.RawMessage, way []*passage) error {
	bare, err := withoutName(raw)
	if err != nil {
		return err
	}
	module, err := s.app.ctx.LoadModuleByID("http.handlers.step_up", bare)
	if err != nil {
		return err
	}
	found := s.guard(way)
	found.stepUp = module.(*StepUp)
	for _, gate := range found.before {
		gate.followed = true
	}
	return nil
}

func (s *guardSearch) guard(way []*passage) *guard {
	g := &guard{server: s.name, listen: s.server.Listen, way: way, rewritings: s.rewrittenBefore(way)}
	for _, gate := range s.passed {
		if mayLead(gate.way, way) {
			g.before = append(g.before, gate)
		}
	}
	s.found = append(s.found, g)
	return g
}

// maxInvoked bounds the walk: named routes that invoke each other twice have 2ⁿ ways through them.
const maxInvoked = 10_000

func (s *guardSearch) invoke(name string, way []*passage) error {
	r, known := s.server.NamedRoutes[name]
	if !known || r == nil || slices.Contains(s.named, name) {
		return nil // Caddy answers with an error
	}
	if s.invoked++; s.invoked > maxInvoked {
		return fmt.Errorf("more than %d ways lead through the named routes", maxInvoked)
	}
	s.named = append(s.named, name)
	defer func() { s.named = s.named[:len(s.named)-1] }()
	return s.route(&passage{Route: *r}, way)
}

func (s *guardSearch) subroute(routes caddyhttp.RouteList, errors *caddyhttp.HTTPErrorConfig, way []*passage) error {
	before, failed, first := s.passed, s.failed, len(s.found)
	if err := s.list(routes, way); err != nil || errors == nil {
		return err
	}
	// An error route has the request from before the subroute, but for what a gate there took out of it.
	after := s.passed
	s.passed, s.failed = before, slices.Concat(failed, s.found[first:])
	err := s.list(errors.Routes, append(slices.Clip(way), &passage{note: "after an error"}))
	s.passed, s.failed = after, failed
	return err
}

// nested looks for routes within any other handler, such as handle_response of
// reverse_proxy. A gate or a rewrite there is before nothing outside of it.
func (s *guardSearch) nested(raw json.RawMessage, handler string, way []*passage) error {
	var config any
	if err := json.Unmarshal(raw, &config); err != nil {
		return err
	}
	passed, rewritings := s.passed, s.rewritings
	way = append(slices.Clip(way), &passage{note: "in " + handler})
	for _, routes := range routesIn(config) {
		if err := s.list(routes, way); err != nil {
			return err
		}
		s.passed, s.rewritings = passed, rewritings
	}
	return nil
}

// routesIn finds lists of routes at any depth.
func routesIn(config any) []caddyhttp.RouteList {
	var found []caddyhttp.RouteList
	switch config := config.(type) {
	case []any:
		for _, element := range config {
			found = append(found, routesIn(element)...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(config)) {
			var routes caddyhttp.RouteList
			if b, err := json.Marshal(config[name]); name == "routes" && err == nil && json.Unmarshal(b, &routes) == nil {
				found = append(found, routes)
				continue
			}
			found = append(found, routesIn(config[name])...)
		}
	}
	return found
}

// mayLead says whether a request that came to the end of from can come to the end of way: not where
// it would have left by a route that is terminal, or that is an alternative to one of way.
func mayLead(from, way []*passage) bool {
	for _, p := range from {
		if slices.Contains(way, p) {
			continue
		}
		isAlternative := p.Group != "" && slices.ContainsFunc(way, func(q *passage) bool { return p.Group == q.Group })
		if p.Terminal || isAlternative {
			return false
		}
	}
	return true
}
