package caddymodule

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// timedStore measures what a store records. What it is asked is answered from memory,
// several times for every request, and is not measured.
type timedStore struct {
	gateway.Store
	use, revoke prometheus.Observer
}

// timed returns s with its times measured under the module's name. What s can do beyond
// a [gateway.Store], the result can, as far as anybody asks for it.
func timed(s gateway.Store, module string) gateway.Store {
	t := &timedStore{
		Store:  s,
		use:    metrics.storeSeconds.WithLabelValues(module, "use"),
		revoke: metrics.storeSeconds.WithLabelValues(module, "revoke"),
	}
	if p, ok := s.(gateway.Prober); ok {
		return &probedStore{t, p}
	}
	return t
}

// Use implements [gateway.Store].
func (s *timedStore) Use(ctx context.Context, key string, until time.Time) error {
	defer since(time.Now(), s.use)
	return s.Store.Use(ctx, key, until)
}

// Revoke implements [gateway.Store].
func (s *timedStore) Revoke(ctx context.Context, r gateway.Revocation) error {
	defer since(time.Now(), s.revoke)
	return s.Store.Revoke(ctx, r)
}

func since(start time.Time, took prometheus.Observer) {
	took.Observe(time.Since(start).Seconds())
}

// probedStore is a timed store that can be probed.
type probedStore struct {
	*timedStore
	gateway.Prober
}
