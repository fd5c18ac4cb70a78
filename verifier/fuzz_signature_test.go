package verifier_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// A good token of which anything is replaced is no good, whatever is put there and whoever
// has signed it: only the very bytes that the issuer gave out are. The signature is EdDSA's, of which
// there is one for each message; of ECDSA's there are two.
func FuzzChangedToken(f *testing.F) {
	issuer := verifiertest.NewIssuer(f, verifiertest.WithAlgorithm("EdDSA"), verifiertest.WithIssuer("https://auth.example.com"))
	good := issuer.Token(nil)
	v, err := verifier.New(verifier.Config{Issuer: issuer.URL(), Keys: issuer.KeySet()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(0), uint16(0), "")
	f.Add(uint16(0), uint16(1), "e")
	f.Add(uint16(len(good)), uint16(0), "=")
	f.Add(uint16(len(good)), uint16(0), ".")
	f.Add(uint16(len(good)-1), uint16(1), "B")
	f.Add(uint16(len(good)-86), uint16(86), "")
	f.Add(uint16(0), uint16(len(good)), "eyJhbGciOiJub25lIn0.e30.")
	f.Add(uint16(5), uint16(0), "\n")
	f.Fuzz(func(t *testing.T, from, size uint16, by string) {
		start := min(int(from), len(good))
		end := min(start+int(size), len(good))
		tried := good[:start] + by + good[end:]
		claims, err := v.Verify(t.Context(), tried)
		if accepted := err == nil; accepted != (tried == good) {
			t.Fatalf("replacing %d bytes from %d by %q: accepted %t", end-start, start, by, accepted)
		}
		if err != nil && (claims != nil || verifier.CodeOf(err) == "") {
			t.Fatalf("refused with claims %v, and %v, which has no code", claims, err)
		}
	})
}

// What is read as a JWK Set is written such that it reads the same again, with as many keys,
// and nothing private in it.
func FuzzKeySet(f *testing.F) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA", "RS256"} {
		jwk := verifiertest.NewKey(f, alg).JWK()
		set := string(verifiertest.JWKS(f, jwk))
		jwk["d"] = "c2VjcmV0"
		f.Add(set)
		f.Add(string(verifiertest.JWKS(f, jwk, jwk)))
		f.Add(set[:len(set)-1])
	}
	for _, seed := range []string{
		"", "{}", "null", `{"keys":null}`, `{"keys":[]}`, `{"keys":{}}`, `{"keys":[null,1,"x",[],{}]}`, `{"keys":[],"keys":[]}`,
		`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`, `{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"}]}`, `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"","use":null,"key_ops":["verify"],"alg":"EdDSA"}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := verifier.ParseKeySet([]byte(text))
		if err != nil {
			if set != nil {
				t.Fatalf("%q: a set, and %v", text, err)
			}
			return
		}
		written, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		for _, private := range []string{`"d":`, `"k":`, `"p":`, `"q":`} {
			if bytes.Contains(written, []byte(private)) {
				t.Fatalf("%q is written with %s", text, private)
			}
		}
		again, err := verifier.ParseKeySet(written)
		if err != nil || again.Len() != set.Len() || set.Len() == 0 {
			t.Fatalf("%q has %d keys, and is written as %s, which has not: %v", text, set.Len(), written, err)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(twice, written) {
			t.Fatalf("%q is written as %s, and then as %s: %v", text, written, twice, err)
		}
	})
}
