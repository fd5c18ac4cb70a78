package exchange_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

const day = 24 * time.Hour

var algorithms = []string{"ES256", "EdDSA", "RS256"}

// reports collects what a ring reports.
type reports struct {
	mu     sync.Mutex // guards what follows
	kids   []string
	errors []error
}

func (r *reports) add(kid string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kid != "" {
		r.kids = append(r.kids, kid)
	}
	if err != nil {
		r.errors = append(r.errors, err)
	}
}

// take returns what was reported since it was last called.
func (r *reports) take() (kids []string, errs []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kids, errs = r.kids, r.errors
	r.kids, r.errors = nil, nil
	return kids, errs
}

func openRing(t testing.TB, cfg exchange.KeyRingConfig) *exchange.KeyRing {
	t.Helper()
	ring, err := exchange.OpenKeyRing(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ring.Close)
	return ring
}

// sign has the ring sign some token, and returns the kid that its claims were made for.
func sign(t testing.TB, ring *exchange.KeyRing) (token, kid string) {
	t.Helper()
	token, id, err := ring.Sign("JWT", func(k string) any {
		kid = k
		return map[string]string{"iss": "somebody"}
	})
	if err != nil {
		t.Fatal(err)
	}
	if string(id) != kid {
		t.Fatalf("the claims were made for kid %q, and key %q signed", kid, id)
	}
	return token, kid
}

func verify(t testing.TB, ring *exchange.KeyRing, token string) error {
	t.Helper()
	parsed, err := verifier.Parse(token, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, err := ring.VerifySignature(t.Context(), parsed)
	if kid, _ := parsed.Kid(); err == nil && string(id) != kid {
		t.Fatalf("verified with key %q, want %q", id, kid)
	}
	return err
}

func wantVerified(t testing.TB, ring *exchange.KeyRing, token string) {
	t.Helper()
	if err := verify(t, ring, token); err != nil {
		t.Errorf("verifying a token of ours: %v", err)
	}
}

func wantCode(t testing.TB, err error, want verifier.Code) {
	t.Helper()
	if got := verifier.CodeOf(err); got != want {
		t.Errorf("got code %q (%v), want %q", got, err, want)
	}
}

// published returns the kids of the ring's JWKS, and checks each key's members on the way.
func published(t testing.TB, ring *exchange.KeyRing) []string {
	t.Helper()
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(ring.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	members := map[string]string{
		"ES256": "alg crv kid kty use x y",
		"EdDSA": "alg crv kid kty use x",
		"RS256": "alg e kid kty n use",
	}
	var kids []string
	for _, k := range set.Keys {
		var names []string
		for name := range k {
			names = append(names, name)
		}
		slices.Sort(names)
		alg, _ := k["alg"].(string)
		if got := strings.Join(names, " "); got != members[alg] || k["use"] != "sig" {
			t.Errorf("a published %q key has members %q (use %v), want exactly %q", alg, got, k["use"], members[alg])
		}
		kids = append(kids, k["kid"].(string))
	}
	return kids
}

// refresh does what the ring's goroutine does every minute.
func refresh(t testing.TB, rings ...*exchange.KeyRing) {
	t.Helper()
	for _, ring := range rings {
		if err := ring.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
