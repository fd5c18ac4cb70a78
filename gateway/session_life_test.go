package gateway_test

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// Anybody can turn an ECDSA signature (r, s) into (r, n-s), which verifies as well.
// Were sessions named by the whole token, a revoked JWT would come back that way.
func TestRevokedJWTDoesNotComeBackWithATwinSignature(t *testing.T) {
	w := newWorld(t)
	token := w.external("alice")
	twin := twinOf(t, token)
	if a, b := w.authenticate(t, token), w.authenticate(t, twin); a.ID != b.ID {
		t.Fatalf("one JWT with two signatures makes sessions %s and %s", a.ID, b.ID)
	}
	if err := w.env.Revoke(context.Background(), w.authenticate(t, token)); err != nil {
		t.Fatal(err)
	}
	_, err := w.env.Authenticate(context.Background(), twin)
	wantCode(t, err, gateway.CodeSessionRevoked)
	_, _, err = w.env.SignIn(context.Background(), twin, nil)
	wantCode(t, err, gateway.CodeSessionRevoked)
}

func twinOf(t *testing.T, token string) string {
	t.Helper()
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil || len(signature) != 64 {
		t.Fatalf("no ES256 signature: %v", err)
	}
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	return token[:dot+1] + base64.RawURLEncoding.EncodeToString(signature)
}

func TestRevokingASignInRefusesTheJWTBehindIt(t *testing.T) {
	w := newWorld(t)
	token, other := w.external("alice"), w.external("alice", map[string]any{"jti": "another"})
	s := w.signIn(t, token)
	if err := w.env.Revoke(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	for _, credential := range []string{s.Token, token} {
		_, err := w.env.Authenticate(context.Background(), credential)
		wantCode(t, err, gateway.CodeSessionRevoked)
	}
	w.authenticate(t, other) // another JWT of the same user is another session
	w.clock.Advance(2 * time.Hour)
	_, err := w.env.Authenticate(context.Background(), token)
	wantCode(t, err, verifier.CodeExpired)
}

func TestSessionNeverOutlivesTheExternalJWT(t *testing.T) {
	w := newWorld(t)
	end := w.clock.Now().Add(90 * time.Minute).Truncate(time.Second)
	s := w.signIn(t, w.external("alice", map[string]any{"exp": end.Unix()}))
	w.clock.Advance(50 * time.Minute)
	fresh, err := w.env.Refresh(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	if fresh.ID != s.ID || !fresh.Expiry.Equal(end) {
		t.Errorf("refreshed session %s until %s, want %s until %s", fresh.ID, fresh.Expiry, s.ID, end)
	}
	w.authenticate(t, s.Token) // the old one stays valid until its own end
	again := w.authenticate(t, fresh.Token)
	w.clock.Advance(40 * time.Minute)
	_, err = w.env.Authenticate(context.Background(), fresh.Token)
	wantCode(t, err, verifier.CodeExpired)
	_, err = w.env.Refresh(context.Background(), again)
	wantCode(t, err, verifier.CodeExpired)
}

func TestRefreshEndsAtTheLongestLife(t *testing.T) {
	w := newWorld(t, func(c *gateway.Config) {
		c.Session = gateway.SessionRules{Lifetime: time.Hour, MaxLifetime: 90 * time.Minute}
	})
	start := w.clock.Now()
	s := w.signIn(t, w.external("alice", map[string]any{"exp": start.Add(24 * time.Hour).Unix()}))
	w.clock.Advance(55 * time.Minute)
	fresh, err := w.env.Refresh(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	if past := fresh.Expiry.Sub(start); past > 90*time.Minute || past < 89*time.Minute {
		t.Errorf("refreshed to %s after sign-in, want 90m", past)
	}
	_, err = w.env.Refresh(context.Background(), w.authenticate(t, w.external("alice")))
	wantCode(t, err, gateway.CodeBadRequest)
}

func TestEachSignInIsASessionOfItsOwn(t *testing.T) {
	w := newWorld(t)
	token := w.external("alice")
	a, b := w.signIn(t, token), w.signIn(t, token)
	if a.ID == b.ID || a.UserID != b.UserID {
		t.Errorf("sessions %s and %s of users %s and %s", a.ID, b.ID, a.UserID, b.UserID)
	}
	if err := w.env.Revoke(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	w.authenticate(t, b.Token)
}
