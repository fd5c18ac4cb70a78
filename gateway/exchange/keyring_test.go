package exchange_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
)

type configCase struct {
	name string
	cfg  exchange.KeyRingConfig
	want string // part of the error; empty: none
}

func (c configCase) run(t *testing.T) {
	ring, err := exchange.OpenKeyRing(t.Context(), c.cfg)
	if err == nil {
		ring.Close()
	}
	switch {
	case c.want == "" && err != nil:
		t.Errorf("got %v, want a ring", err)
	case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
		t.Errorf("got error %v, want one that says %q", err, c.want)
	}
}

func TestKeyRingConfigMistakes(t *testing.T) {
	for _, c := range []configCase{
		{"defaults", exchange.KeyRingConfig{Store: newStore()}, ""},
		{"no store", exchange.KeyRingConfig{}, "no store"},
		{"a symmetric algorithm", exchange.KeyRingConfig{Store: newStore(), Algorithm: "HS256"}, `"HS256"`},
		{"no algorithm at all", exchange.KeyRingConfig{Store: newStore(), Algorithm: "none"}, `"none"`},
		{"another case", exchange.KeyRingConfig{Store: newStore(), Algorithm: "es256"}, `"es256"`},
		{"no room to publish", exchange.KeyRingConfig{Store: newStore(), Rotate: time.Hour}, "leaves no room"},
		{"just room to publish", exchange.KeyRingConfig{Store: newStore(), Rotate: time.Hour + 1}, ""},
		{"more keys than can be kept", exchange.KeyRingConfig{Store: newStore(), Rotate: 2 * time.Hour, TokenLifetime: 7 * day}, "rotating every 2h0m0s while tokens live up to 168h0m0s"},
		{"the same tokens with slower rotation", exchange.KeyRingConfig{Store: newStore(), Rotate: 4 * time.Hour, TokenLifetime: 7 * day}, ""},
		{"the same rotation with shorter tokens", exchange.KeyRingConfig{Store: newStore(), Rotate: 2 * time.Hour, TokenLifetime: 3 * day}, ""},
		{"negative rotation", exchange.KeyRingConfig{Store: newStore(), Rotate: -day}, "negative"},
		{"negative lifetime", exchange.KeyRingConfig{Store: newStore(), TokenLifetime: -day}, "negative"},
	} {
		t.Run(c.name, c.run)
	}
}

// contents that some other program, a person or a broken disk may have left in
// storage. Each is what a ring stored, with one thing changed.
type contentCase struct {
	name   string
	change func(t *testing.T, stored []byte) []byte
	want   string
}

// run opens a ring on the changed content, and also lets a running ring meet it.
func (c contentCase) run(t *testing.T) {
	store := newStore()
	running := openRing(t, exchange.KeyRingConfig{Store: store})
	token, kid := sign(t, running)
	openRing(t, exchange.KeyRingConfig{Store: newStore(store.stored()...)}) // unchanged it opens

	changed := c.change(t, store.stored())
	if bytes.Equal(changed, store.stored()) {
		t.Fatal("nothing was changed")
	}
	store.set(func(s *memoryStore) { s.content = changed })
	_, err := exchange.OpenKeyRing(t.Context(), exchange.KeyRingConfig{Store: store, Algorithm: "EdDSA"})
	if err == nil || !strings.Contains(err.Error(), c.want) {
		t.Errorf("opening: got %v, want an error that says %q", err, c.want)
	}
	if err := running.Refresh(t.Context()); err == nil {
		t.Error("a running ring takes the content over")
	}
	if err := running.Rotate(t.Context()); err == nil {
		t.Error("a running ring writes over the content")
	}
	if !bytes.Equal(store.stored(), changed) {
		t.Error("the content of storage changed")
	}
	wantVerified(t, running, token)
	if _, again := sign(t, running); again != kid {
		t.Errorf("the running ring signs with %q, want %q", again, kid)
	}
}

func TestForeignContentIsRefusedAndLeftAlone(t *testing.T) {
	const foreign, wrong = "not a key document", "is not a private JWK"
	for _, c := range []contentCase{
		{"empty", literal(""), foreign},
		{"not JSON", literal("-----BEGIN PRIVATE KEY-----"), foreign},
		{"an empty object", literal("{}"), foreign},
		{"null", literal("null"), foreign},
		{"a JWK Set", literal(`{"keys":[]}`), foreign},
		{"no keys", literal(`{"version":1,"keys":[]}`), foreign},
		{"cut off", func(_ *testing.T, b []byte) []byte { return b[:len(b)-2] }, foreign},
		{"followed by more", func(_ *testing.T, b []byte) []byte { return append(b, b...) }, foreign},
		{"a newer version", replace(`"version": 1`, `"version": 2`), "version 2"},
		{"an unknown member", replace(`"version": 1`, `"version": 1, "since": 2`), foreign},
		{"a date that is none", replace(`"created": "`, `"created": "x`), foreign},
		{"no created", drop("created"), foreign},
		{"no signs_from", drop("signs_from"), foreign},
		{"no kid", drop("kid"), foreign},
		{"no private key", drop("jwk"), wrong},
		{"a key twice", func(t *testing.T, b []byte) []byte {
			return edit(t, b, func(keys []map[string]any) []map[string]any { return append(keys, keys[0]) })
		}, foreign},
		{"another kid", field("kid", "x"), "not its thumbprint"},
		{"another algorithm", field("alg", "EdDSA"), wrong},
		{"no algorithm", field("alg", "none"), wrong},
		{"the public key alone", jwkMember("d", nil), wrong},
		{"another curve", jwkMember("crv", "P-384"), wrong},
		{"a point that is not on the curve", jwkMember("y", strings.Repeat("A", 43)), ""},
		{"a symmetric key", func(t *testing.T, b []byte) []byte {
			return withJWK(t, b, "ES256", map[string]any{"kty": "oct", "k": "c2VjcmV0"})
		}, wrong},
		{"the private half of another key", otherHalf, wrong},
		{"a short RSA key", shortRSA, wrong},
		{"an RSA key under another's kid", brokenRSA(), "not its thumbprint"},
		{"an RSA key without primes", brokenRSA("p", "q"), wrong},
		{"an RSA key with one prime", brokenRSA("q"), wrong},
		{"an RSA key without d", brokenRSA("d"), wrong},
		{"an RSA key without e", brokenRSA("e"), wrong},
	} {
		t.Run(c.name, c.run)
	}
}

// What goes wrong with a private key is not told by quoting it.
func TestNoErrorQuotesAPrivateKey(t *testing.T) {
	store := newStore()
	ring := openRing(t, exchange.KeyRingConfig{Store: store})
	ring.Close()
	sound := store.stored()
	var secret string
	edit(t, sound, func(keys []map[string]any) []map[string]any {
		secret = keys[0]["jwk"].(map[string]any)["d"].(string)
		return keys
	})
	for name, broken := range map[string]string{
		"as a number":       `"d": 1` + strings.Repeat("2", 30),
		"with a bad letter": `"d": "` + secret[:20] + `!` + secret[20:] + `"`,
		"unterminated":      `"d": "` + secret,
		"as a date":         `"d": "x", "created": "` + secret + `"`,
	} {
		content := bytes.Replace(sound, []byte(`"d": "`+secret+`"`), []byte(broken), 1)
		if bytes.Equal(content, sound) {
			t.Fatal("nothing was changed")
		}
		_, err := exchange.OpenKeyRing(t.Context(), exchange.KeyRingConfig{Store: newStore(content...)})
		if err == nil {
			t.Fatalf("%s: opened", name)
		}
		if strings.Contains(err.Error(), secret[:16]) || strings.Contains(err.Error(), "2222") {
			t.Errorf("%s: the error holds the key: %v", name, err)
		}
	}
}

func literal(s string) func(*testing.T, []byte) []byte {
	return func(*testing.T, []byte) []byte { return []byte(s) }
}

func replace(old, by string) func(*testing.T, []byte) []byte {
	return func(_ *testing.T, b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(by), 1) }
}

func drop(name string) func(*testing.T, []byte) []byte {
	return func(t *testing.T, b []byte) []byte {
		return edit(t, b, func(keys []map[string]any) []map[string]any {
			delete(keys[0], name)
			return keys
		})
	}
}

func field(name, value string) func(*testing.T, []byte) []byte {
	return func(t *testing.T, b []byte) []byte {
		return edit(t, b, func(keys []map[string]any) []map[string]any {
			keys[0][name] = value
			return keys
		})
	}
}

// jwkMember sets a member of the private JWK; nil deletes it.
func jwkMember(name string, value any) func(*testing.T, []byte) []byte {
	return func(t *testing.T, b []byte) []byte {
		return edit(t, b, func(keys []map[string]any) []map[string]any {
			jwk := keys[0]["jwk"].(map[string]any)
			if jwk[name] = value; value == nil {
				delete(jwk, name)
			}
			return keys
		})
	}
}

func withJWK(t *testing.T, b []byte, alg string, jwk map[string]any) []byte {
	return edit(t, b, func(keys []map[string]any) []map[string]any {
		keys[0]["alg"], keys[0]["jwk"] = alg, jwk
		return keys
	})
}

// otherHalf leaves the public key and its kid, so that tokens would be signed that nobody can verify.
func otherHalf(t *testing.T, b []byte) []byte {
	t.Helper()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, err := other.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return jwkMember("d", base64.RawURLEncoding.EncodeToString(d))(t, b)
}

func shortRSA(t *testing.T, b []byte) []byte {
	return withJWK(t, b, "RS256", rsaJWK(t, 1024))
}

// brokenRSA leaves members of the private key out.
func brokenRSA(without ...string) func(*testing.T, []byte) []byte {
	return func(t *testing.T, b []byte) []byte {
		jwk := rsaJWK(t, 2048)
		for _, name := range without {
			delete(jwk, name)
		}
		return withJWK(t, b, "RS256", jwk)
	}
}

func rsaJWK(t *testing.T, bits int) map[string]any {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	return map[string]any{
		"kty": "RSA", "n": encode(k.N), "e": "AQAB", "d": encode(k.D), "p": encode(k.Primes[0]), "q": encode(k.Primes[1]),
	}
}

// edit changes the keys of a stored document.
func edit(t *testing.T, b []byte, change func([]map[string]any) []map[string]any) []byte {
	t.Helper()
	var d struct {
		Version int              `json:"version"`
		Keys    []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	d.Keys = change(d.Keys)
	changed, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}
