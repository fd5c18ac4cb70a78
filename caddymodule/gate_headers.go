package caddymodule

import (
	"slices"
	"sync"
)

// gateHeaders are the headers that the gates of a config may set. Several of them often
// stand before one upstream, which believes such a header whichever of them a request has
// come by: so each takes away what any of them sets.
type gateHeaders struct {
	mu    sync.Mutex
	names []string
}

func (h *gateHeaders) add(names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = append(h.names, names...)
}

// all are those of every gate, once the config is provisioned. Authorization is not one of
// them: where no gate sets it, it is between the client and the upstream.
func (h *gateHeaders) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.names), func(name string) bool { return foldName(name) == "authorization" })
}

// manageHeaders says which headers the gate sets, and which it takes away.
func (g *Gate) manageHeaders() {
	own := g.managedNames()
	g.live.headers.add(own)
	if g.Beside {
		own = nil // it sets none
	}
	g.own = newManaged(own...)
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
}
