package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// probeTimeout is how long a health check waits for the stores: whoever asks gives up
// soon, and one that hangs must not look like a gateway that is gone.
const probeTimeout = 2 * time.Second

// healthView is how the environments are doing. Healthy means that requests are served
// as they should be. An error beside it is a trouble that nobody feels yet, such as a
// JWKS that cannot be fetched while the last good set is young enough.
type healthView struct {
	Healthy      bool                `json:"healthy"`
	Environments []environmentHealth `json:"environments"`
}

type environmentHealth struct {
	Name        string           `json:"name"`
	ID          string           `json:"id"`
	Healthy     bool             `json:"healthy"`
	Enabled     bool             `json:"enabled"`
	Providers   []providerHealth `json:"providers,omitempty"`
	Store       storeHealth      `json:"store"`
	SigningKeys *signingKeysView `json:"signing_keys,omitempty"` // left out where the exchanger has none
	Error       string           `json:"error,omitempty"`        // why nothing more is known
}

type providerHealth struct {
	Issuer  string    `json:"issuer"`
	Healthy bool      `json:"healthy"` // there is a key to verify with
	Keys    int       `json:"keys"`
	Fetched time.Time `json:"fetched,omitzero"`
	Age     float64   `json:"age_seconds"` // 0 where nothing was fetched
	Next    time.Time `json:"next,omitzero"`
	Error   string    `json:"error"` // of the last attempt
}

type storeHealth struct {
	Store   string `json:"store"`
	Healthy bool   `json:"healthy"`
	Error   string `json:"error"`
}

// adminHealth answers GET /byoa/health: 200, or 503 where something is unhealthy.
func adminHealth(w http.ResponseWriter, r *http.Request, app *App) error {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	view := healthOf(ctx, app)
	status := http.StatusOK
	if !view.Healthy {
		status = http.StatusServiceUnavailable
	}
	return writeAdmin(w, status, view)
}

// healthOf looks at all environments at the same time: one store that hangs takes none
// of the others' time.
func healthOf(ctx context.Context, app *App) healthView {
	names := app.names()
	view := healthView{Healthy: true, Environments: make([]environmentHealth, len(names))}
	var looking sync.WaitGroup
	for i, name := range names {
		looking.Go(func() { view.Environments[i] = environmentHealthOf(ctx, app.live[name]) })
	}
	looking.Wait()
	for _, e := range view.Environments {
		view.Healthy = view.Healthy && e.Healthy
	}
	return view
}

func environmentHealthOf(ctx context.Context, l *live) environmentHealth {
	h := environmentHealth{Name: l.name, ID: l.config.ID}
	env, err := l.gateway()
	if err != nil {
		h.Store, h.Error = storeHealth{Store: moduleName(l.store)}, err.Error()
		return h
	}
	h.Enabled = switchOf(env).Enabled
	h.Store = storeHealthOf(ctx, l)
	h.Healthy = h.Store.Healthy
	for _, t := range l.providers {
		p := providerHealthOf(t)
		h.Providers = append(h.Providers, p)
		h.Healthy = h.Healthy && p.Healthy
	}
	if ring, ok := ringOf(env); ok {
		keys := viewOfKeys(ring.Status())
		h.SigningKeys = &keys
		h.Healthy = h.Healthy && keys.Healthy
	}
	return h
}

func providerHealthOf(t *trusted) providerHealth {
	s := t.keys.Status()
	h := providerHealth{
		Issuer:  t.config.Issuer,
		Healthy: s.Keys > 0,
		Keys:    s.Keys,
		Fetched: shown(s.Fetched),
		Next:    shown(s.Next),
		Error:   textOf(s.Err),
	}
	if !s.Fetched.IsZero() {
		h.Age = s.Age.Seconds()
	}
	return h
}

func storeHealthOf(ctx context.Context, l *live) storeHealth {
	err := probe(ctx, l)
	return storeHealth{Store: moduleName(l.store), Healthy: err == nil, Error: textOf(err)}
}

// probes are under way, at most one for each environment: however often somebody asks
// after a store that hangs, no more wait for it.
var probes singleflight.Group

// probe returns nil, or why the environment's store could not take a record now. It
// gives up when ctx does, whether or not the store does.
func probe(ctx context.Context, l *live) error {
	p, ok := l.kept.(gateway.Prober)
	if !ok {
		return nil // it cannot tell; requests will
	}
	answer := probes.DoChan(fmt.Sprintf("%p", l), func() (_ any, err error) {
		defer func() { // nobody else would: this is no request's goroutine
			if p := recover(); p != nil {
				err = fmt.Errorf("probing the store panicked with a %T", p)
			}
		}()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
		defer cancel()
		return nil, p.Probe(bounded)
	})
	select {
	case a := <-answer:
		return a.Err
	case <-ctx.Done():
		return errors.New("the store does not answer")
	}
}
