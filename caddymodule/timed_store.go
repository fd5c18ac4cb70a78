package caddymodule

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// timedStore measures what may wait for a disk or a network. Whether something was
// revoked, and whose an identity is, is answered from memory, several times for every
// request, and is not measured.
type timedStore struct {
	gateway.Store
	use, revoke, user, visit, link prometheus.Observer
}

// timed returns s with its times measured under the module's name. What s can do beyond
// a [gateway.Store], the result cannot: who wants to know how s is, asks s itself.
func timed(s gateway.Store, module string) gateway.Store {
	times := func(operation string) prometheus.Observer {
		return metrics.storeSeconds.WithLabelValues(module, operation)
	}
	return &timedStore{
		Store:  s,
		use:    times("use"),
		revoke: times("revoke"),
		user:   times("user"),
		visit:  times("visit"),
		link:   times("link"),
	}
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

// User implements [gateway.Directory].
func (s *timedStore) User(ctx context.Context, id string) (gateway.User, error) {
	defer since(time.Now(), s.user)
	return s.Store.User(ctx, id)
}

// Visit implements [gateway.Directory].
func (s *timedStore) Visit(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
	defer since(time.Now(), s.visit)
	return s.Store.Visit(ctx, by, at)
}

// Link implements [gateway.Directory].
func (s *timedStore) Link(ctx context.Context, l gateway.Link) (gateway.User, error) {
	defer since(time.Now(), s.link)
	return s.Store.Link(ctx, l)
}

func since(start time.Time, took prometheus.Observer) {
	took.Observe(time.Since(start).Seconds())
}
