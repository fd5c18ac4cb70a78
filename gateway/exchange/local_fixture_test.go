package exchange_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

const (
	environmentA = "95b11417-f18f-457f-8804-68e361f9164f"
	environmentB = "0b0ad6ce-6a2e-4d0c-8c3f-5b4f2f7d1c55"
)

// house is one local exchanger, its ring and its clock.
type house struct {
	t     testing.TB
	clock *verifiertest.Clock
	ring  *exchange.KeyRing
	local *exchange.Local
}

func newHouse(t testing.TB, algorithm string) *house {
	t.Helper()
	clock := verifiertest.NewClock()
	clock.Advance(-time.Duration(clock.Now().Nanosecond()) + 400*time.Millisecond)
	b := &house{t: t, clock: clock}
	b.ring = openRing(t, exchange.KeyRingConfig{Store: newStore(), Algorithm: algorithm, Now: clock.Now})
	b.local = b.newLocal(exchange.LocalConfig{Environment: environmentA})
	return b
}

// newLocal fills in the ring and the clock.
func (b *house) newLocal(cfg exchange.LocalConfig) *exchange.Local {
	b.t.Helper()
	if cfg.Ring == nil {
		cfg.Ring = b.ring
	}
	cfg.Now = b.clock.Now
	local, err := exchange.NewLocal(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return local
}

// external is the claims set of some login system's JWT, with changes.
func (b *house) external(changes map[string]any) *verifier.Claims {
	b.t.Helper()
	claims := map[string]any{
		"iss": "https://auth.example.com", "sub": "user-1", "exp": b.clock.Now().Add(day).Unix(), "acr": "mfa",
	}
	maps.Copy(claims, changes)
	payload, err := json.Marshal(claims)
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := verifier.ParseClaims(payload)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// want is what an environment proposes for an external JWT.
func (b *house) want(external *verifier.Claims) gateway.Session {
	return gateway.Session{
		ID:           "sid-1",
		UserID:       "8f7f9cf7-3ef0-5a0a-9d38-8b8d1a0b0f11",
		Email:        "ann@example.com",
		External:     external,
		Origin:       "sid-0",
		Expiry:       b.clock.Now().Add(time.Hour),
		RefreshUntil: b.clock.Now().Add(12 * time.Hour),
	}
}

func (b *house) signIn(external *verifier.Claims) *gateway.Session {
	b.t.Helper()
	s, err := b.local.SignIn(b.t.Context(), "an.external.token", b.want(external))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *house) wantElevated(s *gateway.Session) gateway.Elevated {
	scopes, err := verifier.ParseScopes("wallet:export wallet:sign")
	if err != nil {
		b.t.Fatal(err)
	}
	return gateway.Elevated{
		Session: s.ID, UserID: s.UserID, ExternalID: s.ExternalID(), Scopes: scopes, SingleUse: true,
		Expiry: b.clock.Now().Add(5 * time.Minute),
	}
}

func (b *house) elevate(s *gateway.Session) *gateway.Elevated {
	b.t.Helper()
	el, err := b.local.Elevate(b.t.Context(), s, "an.assertion.token", b.wantElevated(s))
	if err != nil {
		b.t.Fatal(err)
	}
	return el
}

// mint signs claims with the ring, as only a bug or another version could.
func (b *house) mint(typ string, claims map[string]any) string {
	b.t.Helper()
	token, _, err := b.ring.Sign(typ, func(string) any { return claims })
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// decoded reads one part of a token with nothing but the standard library.
func decoded(t testing.TB, token string, part int) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[part])
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// checkSignature verifies a token as a service would that has only the JWKS and the standard library.
func checkSignature(t testing.TB, jwks []byte, token string) {
	t.Helper()
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("reading the JWKS: %v, %d keys", err, len(set.Keys))
	}
	k := set.Keys[0]
	member := func(name string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(k[name])
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(token[:dot]))
	ok := false
	switch k["kty"] + k["crv"] {
	case "ECP-256":
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, member("x")...), member("y")...))
		if err != nil {
			t.Fatal(err)
		}
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		ok = len(signature) == 64 && ecdsa.Verify(public, sum[:], r, s)
	case "OKPEd25519":
		ok = ed25519.Verify(member("x"), []byte(token[:dot]), signature)
	case "RSA":
		public := &rsa.PublicKey{N: new(big.Int).SetBytes(member("n")), E: int(new(big.Int).SetBytes(member("e")).Int64())}
		ok = public.N.BitLen() >= 2048 && rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
	}
	if header := decoded(t, token, 0); header["alg"] != k["alg"] || header["kid"] != k["kid"] {
		t.Errorf("header %v does not name the key %v, %v", header, k["alg"], k["kid"])
	}
	if !ok {
		t.Errorf("the %s signature is not by the published key", k["alg"])
	}
}

func wantClaims(t *testing.T, token string, want map[string]any) {
	t.Helper()
	got := decoded(t, token, 1)
	jti, _ := got["jti"].(string)
	if id, err := uuid.Parse(jti); want["jti"] == nil && (err != nil || id.Version() != 4) {
		t.Errorf("jti %q is not a UUIDv4", jti)
	}
	for name, value := range map[string]any{"jti": got["jti"], "kid": decoded(t, token, 0)["kid"]} {
		if want[name] == nil {
			want[name] = value
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("claims\n got %v\nwant %v", got, want)
	}
}

// openers are the two ways in, which must refuse each other's tokens.
func (b *house) openers() map[string]func(context.Context, string) error {
	return map[string]func(context.Context, string) error{
		"session":  func(ctx context.Context, token string) error { _, err := b.local.OpenSession(ctx, token); return err },
		"elevated": func(ctx context.Context, token string) error { _, err := b.local.OpenElevated(ctx, token); return err },
	}
}
