// Package gatewaytest makes environments for tests: everything in them is real,
// the local exchanger and the memory store, but for the clock.
package gatewaytest

import (
	"context"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// The environment that [NewConfig] describes.
const (
	EnvironmentID = "95b11417-f18f-457f-8804-68e361f9164f"
	Audience      = "https://api.example.com"
)

// NewConfig describes an environment that trusts issuer for [Audience]. It follows
// clock, and the real time where that is nil.
func NewConfig(t testing.TB, issuer *verifiertest.Issuer, clock *verifiertest.Clock) gateway.Config {
	t.Helper()
	now := nowOf(clock)
	v, err := verifier.New(verifier.Config{
		Issuer:    issuer.URL(),
		Audiences: []string{Audience},
		Keys:      issuer.KeySet(),
		Now:       now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return gateway.Config{
		Name:      "test",
		ID:        EnvironmentID,
		Providers: []gateway.Provider{{Verifier: v}},
		Exchanger: NewLocal(t, clock, EnvironmentID),
		Store:     store.NewMemory(store.MemoryConfig{Now: now}),
		Memory:    NewMemory(),
		Now:       now,
	}
}

// NewLocal makes a local exchanger with keys of its own.
func NewLocal(t testing.TB, clock *verifiertest.Clock, environment string) *exchange.Local {
	t.Helper()
	ring, err := exchange.OpenKeyRing(context.Background(), exchange.KeyRingConfig{
		Store:         &KeyStore{},
		Algorithm:     "ES256",
		TokenLifetime: time.Hour,
		Now:           nowOf(clock),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ring.Close)
	local, err := exchange.NewLocal(exchange.LocalConfig{Environment: environment, Ring: ring, Now: nowOf(clock)})
	if err != nil {
		t.Fatal(err)
	}
	return local
}

func nowOf(clock *verifiertest.Clock) func() time.Time {
	if clock == nil {
		return time.Now
	}
	return clock.Now
}

// Memory is a [gateway.Cache] that remembers at once and for ever, so that what a
// hit still has to satisfy shows.
type Memory struct {
	mu      sync.Mutex
	entries map[[32]byte]*gateway.Remembered
}

// NewMemory makes an empty memory.
func NewMemory() *Memory { return &Memory{entries: make(map[[32]byte]*gateway.Remembered)} }

// Get returns what was set for key.
func (m *Memory) Get(key [32]byte) (*gateway.Remembered, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.entries[key]
	return r, ok
}

// Set remembers r for good.
func (m *Memory) Set(key [32]byte, r *gateway.Remembered, _ int64, _ time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries[key] = r
}

// KeyStore keeps signing keys in memory. The zero value is empty and ready.
type KeyStore struct {
	mu     sync.Mutex // held while locked
	values sync.Map
}

// Load returns what was saved.
func (k *KeyStore) Load(context.Context) ([]byte, error) {
	if b, ok := k.values.Load("keys"); ok {
		return b.([]byte), nil
	}
	return nil, fs.ErrNotExist
}

// Save keeps b.
func (k *KeyStore) Save(_ context.Context, b []byte) error {
	k.values.Store("keys", b)
	return nil
}

// Lock waits for its turn.
func (k *KeyStore) Lock(context.Context) (func(), error) {
	k.mu.Lock()
	return k.mu.Unlock, nil
}
