package caddymodule

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

// plainStore is one that cannot be probed.
type plainStore struct{ gateway.Store }

type unwellStore struct{ gateway.Store }

var errUnwell = errors.New("no room")

func (unwellStore) Probe(context.Context) error { return errUnwell }

func TestTimedStoreIsAsGoodAsTheStore(t *testing.T) {
	memory := store.NewMemory(store.MemoryConfig{})
	t.Cleanup(func() { _ = memory.Close() })
	s := timed(memory, t.Name())
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
	for operation, want := range map[string]uint64{"use": 2, "revoke": 1} {
		if got := samples(t, metrics.storeSeconds.WithLabelValues(t.Name(), operation)); got != want {
			t.Errorf("%d times of %s were measured, want %d", got, operation, want)
		}
	}
}

// Health asks whether a store can be probed: one that cannot must not seem well because it is timed.
func TestTimedStoreCanBeProbedIfTheStoreCan(t *testing.T) {
	if _, ok := timed(plainStore{}, "x").(gateway.Prober); ok {
		t.Error("a store without a probe has one when it is timed")
	}
	p, ok := timed(unwellStore{}, "x").(gateway.Prober)
	if !ok {
		t.Fatal("a store with a probe has none when it is timed")
	}
	if err := p.Probe(t.Context()); !errors.Is(err, errUnwell) {
		t.Errorf("probe says %v, want what the store says", err)
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
