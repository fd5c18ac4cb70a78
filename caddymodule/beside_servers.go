package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// leakyServers says, in a sentence for each, which servers have an upstream that requests reach
// both by way of a gate and past it, with nothing beside the gate to clean these. The servers
// must have been provisioned.
func leakyServers(app *caddyhttp.App) []string {
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		s := upstreamSearch{named: app.Servers[name].NamedRoutes, gated: make(map[string]bool), unguarded: make(map[string]bool)}
		s.list(app.Servers[name].Routes, visited{})
		if leaky := s.leaky(); len(leaky) > 0 {
			warnings = append(warnings, fmt.Sprintf("server %s: requests reach the upstream %s past byoa, with any headers and "+
				"any path that a client has written, for a matcher around byoa leaves them out: "+
				"write the matcher into the directive (`byoa /path/*`), which cleans what it leaves out, or put byoa before all that the upstream gets",
				name, strings.Join(leaky, ", ")))
		}
	}
	return warnings
}

// visited is what requests have come by, on their way to somewhere.
type visited struct {
	gated   bool // some of them, at least: by a gate
	guarded bool // all of them: by a gate, or by a handler beside one
}

// upstreamSearch walks through the routes of a server as requests do, and notes what
// they have come by when they reach an upstream.
type upstreamSearch struct {
	named   map[string]*caddyhttp.Route
	walking []string // the named routes that are being walked through
	invoked int      // how often one was

	gated, unguarded map[string]bool // by the upstream
}

// list returns what requests have come by that go on behind the routes.
func (s *upstreamSearch) list(routes caddyhttp.RouteList, before visited) visited {
	alternatives := false // whether one of a group of routes has a gate; they are not before one another
	for _, r := range routes {
		if r.Group == "" {
			before.gated = before.gated || alternatives
			alternatives = false
		}
		after := s.route(r, before)
		switch {
		case r.Terminal: // nobody comes back
		case r.Group != "":
			alternatives = alternatives || after.gated
		case narrows(r.MatcherSets):
			before.gated = after.gated
		default:
			before = after
		}
	}
	before.gated = before.gated || alternatives
	return before
}

func (s *upstreamSearch) route(r caddyhttp.Route, by visited) visited {
	for _, h := range r.Handlers {
		switch h := h.(type) {
		case *Gate:
			by = visited{gated: by.gated || !h.Beside, guarded: true}
		case *caddyhttp.Invoke:
			by = s.invoke(h.Name, by)
		case *caddyhttp.Subroute:
			before := by
			by = s.list(h.Routes, before)
			if h.Errors != nil {
				s.list(h.Errors.Routes, before)
			}
		case *reverseproxy.Handler:
			for _, upstream := range upstreamsOf(h) {
				s.gated[upstream] = s.gated[upstream] || by.gated
				s.unguarded[upstream] = s.unguarded[upstream] || !by.guarded
			}
			for _, routes := range routesWithin(h) {
				s.list(routes, by)
			}
		}
	}
	return by
}

func (s *upstreamSearch) invoke(name string, by visited) visited {
	r := s.named[name]
	if s.invoked++; r == nil || slices.Contains(s.walking, name) || s.invoked > maxInvoked {
		return by
	}
	s.walking = append(s.walking, name)
	defer func() { s.walking = s.walking[:len(s.walking)-1] }()
	return s.list(caddyhttp.RouteList{*r}, by)
}

// leaky are the upstreams to which requests come past a gate that others come by.
func (s *upstreamSearch) leaky() []string {
	var leaky []string
	for _, upstream := range slices.Sorted(maps.Keys(s.gated)) {
		if s.gated[upstream] && s.unguarded[upstream] {
			leaky = append(leaky, upstream)
		}
	}
	return leaky
}

// upstreamsOf are the addresses of a proxy as the config has them.
func upstreamsOf(h *reverseproxy.Handler) []string {
	var all []string
	for _, u := range h.Upstreams {
		all = append(all, u.Dial)
	}
	if h.DynamicUpstreams != nil {
		all = append(all, "that is looked up for each request")
	}
	return all
}

// narrows is whether matchers leave out requests for a host that they let others in for.
func narrows(sets caddyhttp.MatcherSets) bool {
	return len(sets) > 0 && !slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool {
		return !slices.ContainsFunc(set, leavesOut)
	})
}

// leavesOut is whether a matcher is about more than the host.
func leavesOut(matcher any) bool {
	switch matcher := matcher.(type) {
	case *caddyhttp.MatchHost:
		return false
	case *caddyhttp.MatchPath:
		return !slices.Contains(*matcher, "*")
	}
	return true
}
