package verifier_test

import (
	"bytes"
	"encoding/base64"
	"runtime"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// compact joins a token of raw parts.
func compact(header, payload, signature string) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e([]byte(payload)) + "." + e([]byte(signature))
}

func TestParse(t *testing.T) {
	token := compact(`{"alg":"ES256","kid":"k","typ":"Application/AT+JWT"}`, `{"iss":"i"}`, "sig")
	parsed, err := verifier.Parse(token, 0)
	must(t, err)
	kid, ok := parsed.Kid()
	if parsed.Algorithm() != "ES256" || kid != "k" || !ok || parsed.Type() != "at+jwt" || parsed.Issuer() != "i" {
		t.Errorf("got alg %q, kid %q %v, typ %q, iss %q", parsed.Algorithm(), kid, ok, parsed.Type(), parsed.Issuer())
	}
	if got := string(parsed.SigningInput()) + "." + base64.RawURLEncoding.EncodeToString(parsed.Signature()); got != token {
		t.Errorf("signing input and signature make %s, want %s", got, token)
	}
}

func TestParseWithoutOptionalParts(t *testing.T) {
	parsed, err := verifier.Parse(compact(`{"alg":"ES256"}`, `{"iss":1}`, ""), 0)
	must(t, err)
	if kid, ok := parsed.Kid(); ok || kid != "" || parsed.Type() != "" || parsed.Issuer() != "" || len(parsed.Signature()) != 0 {
		t.Errorf("got %+v, want nothing", parsed)
	}
}

func TestParseType(t *testing.T) {
	for typ, want := range map[string]string{
		"JWT":                        "jwt",
		"application/jwt":            "jwt",
		"APPLICATION/Step-Up+JWT":    "step-up+jwt",
		"text/plain":                 "text/plain",
		"application/a/b":            "application/a/b",
		"application/":               "",
		"to\u212aen":                 "to\u212aen", // the Kelvin sign
		`application/x;part=\"1/2\"`: `application/x;part="1/2"`,
	} {
		parsed, err := verifier.Parse(compact(`{"alg":"ES256","typ":"`+typ+`"}`, `{}`, "s"), 0)
		must(t, err)
		if got := parsed.Type(); got != want {
			t.Errorf("%s: got %q, want %q", typ, got, want)
		}
	}
}

func TestParseLimitIsExact(t *testing.T) {
	token := compact(`{"alg":"ES256"}`, `{"pad":"`+strings.Repeat("a", 20_000)+`"}`, "s")
	for _, c := range []struct {
		max  int
		want verifier.Code
	}{
		{len(token), ""},
		{len(token) - 1, verifier.CodeTokenTooLarge},
		{0, verifier.CodeTokenTooLarge}, // 16 KiB
		{-1, verifier.CodeTokenTooLarge},
	} {
		_, err := verifier.Parse(token, c.max)
		wantCode(t, err, c.want)
	}
}

// A megabyte must not cost a megabyte.
func TestParseRefusesBeforeItAllocates(t *testing.T) {
	for name, token := range map[string]string{
		"too large": strings.Repeat("a", 1<<20),
		"dots":      strings.Repeat(".", 1<<20),
	} {
		limit := 1 << 20 // so that the dots pass it
		if name == "too large" {
			limit = 0
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 100 {
			if _, err := verifier.Parse(token, limit); err == nil {
				t.Fatalf("%s: accepted", name)
			}
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / 100; got > 10_000 {
			t.Errorf("%s: allocates %d bytes", name, got)
		}
	}
}

// The error of a refused token goes to logs and to the client. It must not carry
// what could be used, nor what the token says of its user.
func TestErrorsHoldNoPartOfTheToken(t *testing.T) {
	for _, v := range verifiertest.ReadVectors(t, vectorDir) {
		c := v.Make(t, ring, vectorNow)
		checker, err := verifier.New(c.Config)
		must(t, err)
		checks := append(checker.Check(t.Context(), c.Token), checker.CheckAssertion(t.Context(), c.Token, "user-1")...)
		for _, check := range checks {
			if check.Err == nil {
				continue
			}
			text := check.Err.Error()
			for part := range strings.SplitSeq(c.Token, ".") {
				if len(part) >= 8 && strings.Contains(text, part[:8]) {
					t.Errorf("%s: error holds a part of the token: %s", v.Name, text)
				}
			}
			if strings.Contains(text, "user-1") || strings.Contains(text, "admin") {
				t.Errorf("%s: error names the user: %s", v.Name, text)
			}
			if len(text) > 400 || strings.ContainsAny(text, "\n\r\x00") {
				t.Errorf("%s: error is long or unescaped: %q", v.Name, text)
			}
		}
	}
}

// A reader of the token must not be able to change it for the next.
func TestTokenGivesCopiesAway(t *testing.T) {
	parsed, err := verifier.Parse(compact(`{"alg":"ES256"}`, `{}`, "signature"), 0)
	must(t, err)
	clear(parsed.Signature())
	clear(parsed.SigningInput())
	if !bytes.Equal(parsed.Signature(), []byte("signature")) || parsed.SigningInput()[0] == 0 {
		t.Error("the token changed")
	}
}

func encodeRaw(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
