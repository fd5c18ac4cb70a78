package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A guard is a byoa or step_up handler, and how requests come to it.
type guard struct {
	server string
	listen []string
	way    []*passage // the routes that enclose it, outermost first

	gate        *Gate // nil: a step_up
	environment string
	stepUp      *StepUp
	before      []*guard // the gates that a request to this step_up may have passed
	followed    bool     // of a gate: it is before a step_up
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
	passed []*guard // the gates that are before what comes next
	named  []string // the named routes that are being walked through
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
			s.passed = nil // an error route gets the request as it came
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
		switch {
		case h.Handler == "byoa":
			err = s.foundGate(raw, way)
		case h.Handler == "step_up":
			err = s.foundStepUp(raw, way)
		case h.Handler == "invoke":
			err = s.invoke(h.Name, way)
		case h.Handler == "subroute" && err == nil:
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
	if err := json.Unmarshal(raw, g); err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	if err := g.validate(); err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	l, err := s.app.environment(g.Environment)
	if err != nil {
		return fmt.Errorf("byoa: %w", err)
	}
	found := s.guard(way)
	found.gate, found.environment = g, l.name
	s.passed = append(s.passed, found)
	return nil
}

// foundStepUp takes down a step_up handler, whose table is compiled as it would be for a server.
func (s *guardSearch) foundStepUp(raw json.RawMessage, way []*passage) error {
	var config map[string]json.RawMessage
	if err := json.Unmarshal(raw, &config); err != nil {
		return err
	}
	delete(config, "handler")
	bare, err := json.Marshal(config)
	if err != nil {
		return err
	}
	module, err := s.app.ctx.LoadModuleByID("http.handlers.step_up", bare)
	if err != nil {
		return err
	}
	found := s.guard(way)
	found.stepUp = module.(*StepUp)
	for _, gate := range s.passed {
		if gate.mayPrecede(way) {
			found.before = append(found.before, gate)
			gate.followed = true
		}
	}
	return nil
}

func (s *guardSearch) guard(way []*passage) *guard {
	g := &guard{server: s.name, listen: s.server.Listen, way: way}
	s.found = append(s.found, g)
	return g
}

func (s *guardSearch) invoke(name string, way []*passage) error {
	r, known := s.server.NamedRoutes[name]
	if !known || r == nil || slices.Contains(s.named, name) {
		return nil // Caddy answers with an error
	}
	s.named = append(s.named, name)
	defer func() { s.named = s.named[:len(s.named)-1] }()
	return s.route(&passage{Route: *r}, way)
}

func (s *guardSearch) subroute(routes caddyhttp.RouteList, errors *caddyhttp.HTTPErrorConfig, way []*passage) error {
	before := slices.Clip(s.passed)
	if err := s.list(routes, way); err != nil || errors == nil {
		return err
	}
	after := s.passed
	s.passed = before // an error route gets the request as it came to the subroute
	err := s.list(errors.Routes, append(slices.Clip(way), &passage{note: "after an error"}))
	s.passed = after
	return err
}

// nested looks for routes within any other handler, such as handle_response of
// reverse_proxy. A gate there is before nothing outside of it.
func (s *guardSearch) nested(raw json.RawMessage, handler string, way []*passage) error {
	var config any
	if err := json.Unmarshal(raw, &config); err != nil {
		return err
	}
	before := slices.Clip(s.passed)
	way = append(slices.Clip(way), &passage{note: "in " + handler})
	for _, routes := range routesIn(config) {
		if err := s.list(routes, way); err != nil {
			return err
		}
		s.passed = before
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

// mayPrecede says whether a request that came through this gate can come to the end of way: not where
// it would have left by a route that is terminal, or that is an alternative to one of way.
func (g *guard) mayPrecede(way []*passage) bool {
	for _, p := range g.way {
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
