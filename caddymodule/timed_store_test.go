package caddymodule

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

func TestTimedStoreIsAsGoodAsTheStore(t *testing.T) {
	memory := store.NewMemory(store.MemoryConfig{})
	t.Cleanup(func() { _ = memory.Close() })
	s := timed(memory, t.Name())
	measured := func(operation string) uint64 {
		return samples(t, metrics.storeSeconds.WithLabelValues(t.Name(), operation))
	}
	wanted := map[string]uint64{"use": 2, "revoke": 1, "visit": 1, "link": 1, "user": 1}
	before := make(map[string]uint64) // of an earlier run in this process
	for operation := range wanted {
		before[operation] = measured(operation)
	}
	ctx, until := t.Context(), time.Now().Add(time.Hour)
	if first, second := s.Use(ctx, "key", until), s.Use(ctx, "key", until); first != nil || !errors.Is(second, gateway.ErrUsed) {
		t.Errorf("used twice: %v, %v; want nil, and that it was used", first, second)
	}
	at := time.Now()
	if err := s.Revoke(ctx, gateway.Revocation{Key: "session", At: at, Until: until}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.RevokedAt("session"); err != nil || got.Unix() != at.Unix() {
		t.Errorf("revoked at %s, error %v; want %s", got, err, at)
	}
	alice, partner := gateway.Identity{ID: "alice", Issuer: "https://a.example", Subject: "alice"}, gateway.Identity{ID: "a-1", Issuer: "https://b.example", Subject: "a-1"}
	if u, err := s.Visit(ctx, alice, at); err != nil || !u.New {
		t.Errorf("visited: %+v, error %v; want a new user", u, err)
	}
	if _, err := s.Link(ctx, gateway.Link{UserID: "alice", By: alice, Joins: partner, At: at}); err != nil {
		t.Errorf("linked: error %v", err)
	}
	if owner, err := s.Owner("a-1"); err != nil || owner != "alice" {
		t.Errorf("the identity is %q's, error %v; want alice's", owner, err)
	}
	if u, err := s.User(ctx, "alice"); err != nil || len(u.Identities) != 2 {
		t.Errorf("the user is %+v, error %v; want two identities", u, err)
	}
	for operation, want := range wanted {
		if got := measured(operation) - before[operation]; got != want {
			t.Errorf("%d times of %s were measured, want %d", got, operation, want)
		}
	}
}

// Whose an identity is, and what was revoked, is asked for every request: measuring that
// would cost more than the answer.
func TestTimedStoreCostsNothingForWhatIsAnsweredFromMemory(t *testing.T) {
	memory := store.NewMemory(store.MemoryConfig{})
	t.Cleanup(func() { _ = memory.Close() })
	s := timed(memory, t.Name())
	if n := testing.AllocsPerRun(100, func() {
		_, _ = s.Owner("alice")
		_, _ = s.RevokedAt("session")
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	for _, operation := range []string{"use", "revoke", "visit", "link", "user"} {
		if got := samples(t, metrics.storeSeconds.WithLabelValues(t.Name(), operation)); got != 0 {
			t.Errorf("%d times of %s were measured, want none", got, operation)
		}
	}
}

func samples(t *testing.T, o prometheus.Observer) uint64 {
	t.Helper()
	var m dto.Metric
	if err := o.(prometheus.Metric).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetHistogram().GetSampleCount()
}
