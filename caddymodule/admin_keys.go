package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
)

// signingKeysView says where the keys of an environment are in their rotation.
type signingKeysView struct {
	Healthy   bool      `json:"healthy"` // a key may sign
	Algorithm string    `json:"algorithm"`
	Current   string    `json:"current"` // kid of the key that signs
	Since     time.Time `json:"since,omitzero"`
	Next      string    `json:"next"` // kid of its successor; empty: none is published yet
	Rotates   time.Time `json:"rotates,omitzero"`
	Published int       `json:"published"`
	Error     string    `json:"error"` // why they could not be read or renewed last
}

func viewOfKeys(s exchange.RingStatus) signingKeysView {
	return signingKeysView{
		Healthy:   s.Current != "",
		Algorithm: s.Algorithm,
		Current:   s.Current,
		Since:     shown(s.Since),
		Next:      s.Next,
		Rotates:   shown(s.Rotates),
		Published: s.Keys,
		Error:     textOf(s.Failure),
	}
}

// shown is t as people read it. The zero time stays zero, and is left out.
func shown(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// ringOf is the environment's own keys, if its exchanger has any.
func ringOf(env *gateway.Environment) (*exchange.KeyRing, bool) {
	holder, ok := env.Exchanger().(interface{ Ring() *exchange.KeyRing })
	if !ok {
		return nil, false
	}
	return holder.Ring(), true
}

// adminRotate answers POST /byoa/environments/{name}/keys/rotate. What it answers is
// where the keys are then: the old one still signs.
func adminRotate(w http.ResponseWriter, r *http.Request, l *live, env *gateway.Environment) error {
	ring, ok := ringOf(env)
	if !ok {
		return adminError(http.StatusConflict, errors.New("the exchanger of this environment has no signing keys of its own"))
	}
	err := ring.Rotate(r.Context())
	l.observer.audit.tell(r.Context(), visitOf(r.Context()), gateway.Event{Kind: kindRotate, Err: err})
	if err != nil {
		return adminError(http.StatusServiceUnavailable, fmt.Errorf("rotating the signing keys of environment %s: %w", l.name, err))
	}
	return writeAdmin(w, http.StatusOK, viewOfKeys(ring.Status()))
}
