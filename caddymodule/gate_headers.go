package caddymodule

import (
	"fmt"
	"slices"
	"sync"
)

// gateHeaders are the headers that the gates of a config may set. Several of them often
// stand before one upstream, which believes such a header whichever of them a request has
// come by: so each takes away what any of them sets.
type gateHeaders struct {
	mu     sync.Mutex
	names  []string
	kept   []string // in which a gate passes the external JWT on
	params []string // of the query, in which a gate reads it
}

// add takes what a gate sets, and the header in which it passes the external JWT on, if it
// does. No header can be both: what one gate passes on, another one would take away.
func (h *gateHeaders) add(names []string, kept string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = append(h.names, names...)
	if kept != "" {
		h.kept = append(h.kept, kept)
	}
	for _, kept := range h.kept {
		isKept := func(name string) bool { return sameName(name, kept) }
		if foldName(kept) != "authorization" && slices.ContainsFunc(h.names, isKept) {
			return fmt.Errorf("%s: one byoa handler of the config passes the external JWT on in it (keep_external), and another one sets it, "+
				"so every one takes away what clients send there: set another header", kept)
		}
	}
	return nil
}

// all are those of every gate, once the config is provisioned. Authorization is not one of
// them: where no gate sets it, it is between the client and the upstream.
func (h *gateHeaders) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.names), func(name string) bool { return foldName(name) == "authorization" })
}

// addParam takes the query parameter in which a gate reads the external JWT, if it does.
func (h *gateHeaders) addParam(param string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if param != "" && !slices.Contains(h.params, param) {
		h.params = append(h.params, param)
	}
}

// allParams are those of every gate, once the config is provisioned. A page that one gate lets on
// with a token in its query has it in the Referer of whatever it loads, by way of any other.
func (h *gateHeaders) allParams() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.params)
}

// manageHeaders says which headers the gate sets, and which it takes away.
func (g *Gate) manageHeaders() error {
	own, kept := g.managedNames(), ""
	if g.KeepExternal {
		kept = g.live.config.Header
	}
	if err := g.live.headers.add(own, kept); err != nil {
		return err
	}
	if g.Beside {
		own = nil // it sets none
	}
	g.own = newManaged(own...)
	g.live.headers.addParam(g.AllowQuery)
	g.params = sync.OnceValue(g.live.headers.allParams)
	g.managed = sync.OnceValue(func() *managed {
		return newManaged(slices.Concat(own, g.live.headers.all())...)
	})
	g.trailers = sync.OnceValue(func() *managed {
		names := slices.Concat(own, g.live.headers.all())
		if !g.Beside {
			names = slices.Concat(names, trailerNames, []string{g.live.config.Header})
		}
		return newManaged(names...)
	})
	return nil
}
