package secrecy_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/internal/secrecy"
)

// token is one whose parts no text has by chance.
func token(header string) string {
	part := func(size int) string {
		octets := make([]byte, size)
		for i := range octets {
			octets[i] = byte(rand.IntN(256))
		}
		return base64.RawURLEncoding.EncodeToString(octets)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + part(90) + "." + part(64)
}

// A recorder that overlooks a token makes every test that relies on it worthless.
func TestTokenIsFoundHoweverItWasCut(t *testing.T) {
	secret := token(`{"alg":"ES256"}`)
	parts := strings.Split(secret, ".")
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"whole":                          {secret, true},
		"in JSON":                        {`{"headers":{"X-A":["` + secret + `"]}}`, true},
		"the header":                     {"at " + parts[0], true},
		"the payload":                    {"at " + parts[1], true},
		"the signature":                  {"at " + parts[2], true},
		"the first letters of a payload": {parts[1][:15] + "…", true},
		"the last letters of a payload":  {"…" + parts[1][len(parts[1])-15:], true},
		"the middle of a signature":      {"…" + parts[2][33:48] + "…", true},
		"in a path":                      {"/wallets/" + parts[1] + "/export", true},
		"after other letters":            {"prefix" + parts[1], true},
		"with escaped dots":              {strings.ReplaceAll(secret, ".", "%2E"), true},
		"another token":                  {token(`{"typ":"at+jwt","alg":"EdDSA"}`), false},
		"the first eight letters":        {parts[1][:8] + "…", false},
		"nothing":                        {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := new(secrecy.Recorder)
			r.Learn("a request", "Bearer "+secret)
			r.Watch("a log", c.text)
			leaks := r.Leaks()
			if got := len(leaks) == 1; got != c.want {
				t.Fatalf("found %v, want %v", leaks, c.want)
			}
			if c.want && (leaks[0].Place != "a log" || leaks[0].Source != "a request") {
				t.Errorf("got %v, want the place and the source", leaks[0])
			}
			if c.want && len(r.In("", leaks[0].String())) > 0 && !strings.Contains(name, "letters") {
				t.Error("what is said of a leak is a leak")
			}
			if again := r.Leaks(); len(again) != 0 {
				t.Errorf("said twice: %v", again)
			}
		})
	}
}

// A body that shows a token which the client gets to know only later is a leak all the same.
func TestTextIsHeldAgainstWhatIsLearnedLater(t *testing.T) {
	r, secret := new(secrecy.Recorder), token(`{"alg":"ES256"}`)
	r.Watch("an error", secret)
	r.Learn("an answer", secret)
	if leaks := r.Leaks(); len(leaks) != 1 {
		t.Errorf("got %v, want one leak", leaks)
	}
}

func TestTokensAreKnownByTheirForm(t *testing.T) {
	spaced, escaped, unsigned := token(`{ "alg":"ES256"}`), token("{\n\t\"\\u0061lg\":\"ES256\"}"), token(`{"alg":"none"}`)
	unsigned = unsigned[:strings.LastIndexByte(unsigned, '.')+1]
	text := fmt.Sprintf(`{"jwt":"%s","x":%q} a=1; session=%s; host.sub-domain-name.example.com 0f8fad5b-d9cb-8f2c.0f8fad5b-d9cb.x`, spaced, escaped, unsigned)
	got := secrecy.Tokens(text)
	if want := []string{spaced, escaped, unsigned}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPrivateKeysAreSecretsAndPublicOnesAreNot(t *testing.T) {
	const d = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE" // RFC 7517, appendix A.2
	const x, kid = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "a-key-with-a-name"
	r := new(secrecy.Recorder)
	n := r.AddKeys("the keys", []byte(`{"keys":[{"created":"2026-01-01","jwk":{"kty":"EC","kid":"`+kid+`","x":"`+x+`","d":"`+d+`"}}],"d":"not-of-any-key-at-all"}`))
	if n != 1 {
		t.Fatalf("%d private members, want 1", n)
	}
	octets, _ := base64.RawURLEncoding.DecodeString(d)
	for text, want := range map[string]bool{
		d: true, fmt.Sprintf("%x", octets): true, base64.StdEncoding.EncodeToString(octets): true,
		x: false, kid: false, "not-of-any-key-at-all": false,
	} {
		if got := len(r.In("an answer", text)) > 0; got != want {
			t.Errorf("found in %q: %v, want %v", text, got, want)
		}
	}
}
