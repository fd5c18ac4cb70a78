package e2e_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"testing"
	"time"
)

const (
	issuerName   = "https://login.example.test"
	audienceName = "https://api.example.test"
	stepUpType   = "step-up+jwt"
)

// claims of a token. A nil value leaves out what would else be filled in.
type claims = map[string]any

// An issuer is the login system: jose/issuer.mjs in a Node.js process.
type issuer struct {
	url     string
	secrets *secrets
}

// startIssuer starts a login system with one key for each algorithm, ES256 if none
// is named. It ends with the test.
func startIssuer(t testing.TB, s *secrets, algorithms ...string) *issuer {
	t.Helper()
	if len(algorithms) == 0 {
		algorithms = []string{"ES256"}
	}
	return &issuer{url: startNode(t, "jose", append([]string{"issuer.mjs"}, algorithms...)...).url, secrets: s}
}

func (i *issuer) jwksURL() string { return i.url + "/.well-known/jwks.json" }

// A signing is what the login system is asked to sign.
type signing struct {
	Alg     string `json:"alg"`
	Header  claims `json:"header,omitempty"`
	Payload claims `json:"payload"`
	Stray   bool   `json:"stray,omitempty"` // with a key that is not published
}

func (i *issuer) sign(t testing.TB, s signing) string {
	t.Helper()
	if s.Alg == "" {
		s.Alg = "ES256"
	}
	var signed struct{ Token string }
	i.call(t, "/sign", s, &signed)
	i.secrets.learn("the login system", signed.Token)
	return signed.Token
}

// token is an external JWT of user-1, good for an hour.
func (i *issuer) token(t testing.TB, with claims) string {
	t.Helper()
	return i.sign(t, signing{Payload: tokenClaims(with)})
}

// assertion is one that the backend of user-1 signs for a scope, good for ten minutes.
func (i *issuer) assertion(t testing.TB, scope string, with claims) string {
	t.Helper()
	return i.sign(t, signing{Header: claims{"typ": stepUpType}, Payload: assertionClaims(scope, with)})
}

func tokenClaims(with claims) claims {
	now := time.Now()
	return merged(claims{
		"iss": issuerName, "aud": audienceName, "sub": "user-1",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "nonce": rand.Text(),
	}, with)
}

func assertionClaims(scope string, with claims) claims {
	return merged(claims{
		"sub": "user-1", "scope": scope, "jti": rand.Text(), "exp": time.Now().Add(10 * time.Minute).Unix(),
	}, with)
}

func merged(base, with claims) claims {
	maps.Copy(base, with)
	maps.DeleteFunc(base, func(_ string, v any) bool { return v == nil })
	return base
}

// verified is a token as another implementation understands it.
type verified struct{ Header, Payload claims }

// date is a NumericDate among the claims (RFC 7519, section 2).
func (v verified) date(t testing.TB, claim string) time.Time {
	t.Helper()
	seconds, ok := v.Payload[claim].(float64)
	if !ok {
		t.Fatalf("%s is %v, want a number", claim, v.Payload[claim])
	}
	return time.Unix(int64(seconds), 0)
}

// lifetime is the time between its issue and its end.
func (v verified) lifetime(t testing.TB) time.Duration {
	t.Helper()
	return v.date(t, "exp").Sub(v.date(t, "iat"))
}

// verify has jose check a token against a JWKS. Options are those of its jwtVerify.
func (i *issuer) verify(t testing.TB, token, jwksURL string, options claims) (v verified) {
	t.Helper()
	i.call(t, "/verify", claims{"token": token, "jwks": jwksURL, "options": options}, &v)
	return v
}

// rotate replaces all keys.
func (i *issuer) rotate(t testing.TB) { t.Helper(); i.call(t, "/rotate", claims{}, nil) }

// breakDown makes the JWKS unavailable, recover brings it back.
func (i *issuer) breakDown(t testing.TB) {
	t.Helper()
	i.call(t, "/behave", claims{"status": http.StatusServiceUnavailable}, nil)
}

func (i *issuer) recover(t testing.TB) {
	t.Helper()
	i.call(t, "/behave", claims{"status": http.StatusOK}, nil)
}

// fetches says how often the JWKS was asked for.
func (i *issuer) fetches(t testing.TB) int {
	t.Helper()
	res, err := http.Get(i.url + "/state")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var state struct{ Fetches int }
	if err := json.NewDecoder(res.Body).Decode(&state); err != nil {
		t.Fatal(err)
	}
	return state.Fetches
}

func (i *issuer) call(t testing.TB, path string, ask, answer any) {
	t.Helper()
	if err := exchangeJSON(i.url+path, ask, answer); err != nil {
		t.Fatalf("asking the login system for %s: %v", path, err)
	}
}

func exchangeJSON(url string, ask, answer any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Close = true // or Node.js may end the connection, idle for 5 s, under the next POST, which nobody repeats
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New(string(text))
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("reading %q: %w", text, err)
	}
	return nil
}
