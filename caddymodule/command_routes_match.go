package caddymodule

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// String says which requests come through.
func (p *passage) String() string {
	switch {
	case p.note != "":
		return p.note
	case len(p.MatcherSetsRaw) > 0:
		return matchersText(p.MatcherSetsRaw)
	case p.Group != "":
		return "whatever no block before it takes"
	}
	return ""
}

// matchersText says what matchers match: one of several sets, and of it all.
func matchersText(sets caddyhttp.RawMatcherSets) string {
	var alternatives []string
	for _, set := range sets {
		var all []string
		for _, name := range slices.Sorted(maps.Keys(set)) {
			all = append(all, matcherText(name, set))
		}
		alternatives = append(alternatives, strings.Join(all, " and "))
	}
	return strings.Join(alternatives, " or ")
}

// matcherText writes a matcher as the Caddyfile has it. Of those that may hold anything, also
// a secret, only the name is told.
func matcherText(name string, set caddy.ModuleMap) string {
	switch name {
	case "host", "path", "method":
		var values []string
		if json.Unmarshal(set[name], &values) == nil {
			return name + " " + strings.Join(values, " ")
		}
	case "protocol":
		var value string
		if json.Unmarshal(set[name], &value) == nil {
			return name + " " + value
		}
	case "not":
		var inner caddyhttp.RawMatcherSets
		if json.Unmarshal(set[name], &inner) == nil {
			return "not (" + matchersText(inner) + ")"
		}
	}
	return name + " …"
}

// site says which site the guard stands in: the server, and the hosts where they are told apart.
func (g *guard) site() string {
	site := "server " + g.server
	if len(g.listen) > 0 {
		site += " (" + strings.Join(g.listen, " ") + ")"
	}
	if i := g.hosts(); i >= 0 {
		site += ", " + g.way[i].String()
	}
	return site
}

// hosts is where on the way the route of a site with a name is, or -1. It is the outermost one.
func (g *guard) hosts() int {
	i := slices.IndexFunc(g.way, func(p *passage) bool { return p.note == "" })
	if i < 0 || !slices.ContainsFunc(g.way[i].MatcherSetsRaw, func(set caddy.ModuleMap) bool { return set["host"] != nil }) {
		return -1
	}
	return i
}

// where says which requests to its site come to the guard; "" is all of them.
func (g *guard) where() string {
	way := g.way
	if i := g.hosts(); i >= 0 {
		way = slices.Delete(slices.Clone(way), i, i+1)
	}
	return passagesText(way)
}

// sharedWith says which of the requests that come to g have passed the gate before; "" is all of them.
func (gate *guard) sharedWith(g *guard) string {
	isNew := func(r *rewriting) bool { return !slices.Contains(gate.rewritings, r) }
	return beyond(gate.way, g.way, slices.ContainsFunc(g.rewritings, isNew))
}

// beyond says which of the requests that come to the end of way came through from before; "" is all
// of them. Once they were rewritten the same matcher does not match the same requests.
func beyond(from, way []*passage, rewritten bool) string {
	var more []*passage
	for _, p := range from {
		isPassed := slices.Contains(way, p) || !rewritten && slices.ContainsFunc(way, p.letsThroughAll)
		if !isPassed {
			more = append(more, p)
		}
	}
	return passagesText(more)
}

// letsThroughAll says whether every request that came through q comes through p too: not
// where p is one of several alternatives, whose turn may not have come.
func (p *passage) letsThroughAll(q *passage) bool {
	return p.Group == "" && reflect.DeepEqual(p.MatcherSetsRaw, q.MatcherSetsRaw)
}

// losesTokenTo says whether the token of a request that comes to g after an error may have been taken
// out of it by other, a guard of the same site.
func (g *guard) losesTokenTo(other *guard) bool {
	return other.gate != nil && !other.gate.KeepExternal && other.site() == g.site()
}

func passagesText(way []*passage) string {
	var all []string
	for _, p := range way {
		if text := p.String(); text != "" {
			all = append(all, text)
		}
	}
	return strings.Join(all, ", ")
}
