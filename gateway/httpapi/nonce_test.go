package httpapi_test

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

func TestNonces(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	seen := map[string]bool{}
	for query, want := range map[string]int{
		"": 5, "?": 5, "?count=1": 1, "?count=5": 5, "?count=20": 20, "?sdkVersion=x": 5,
		"?count=21": 20, "?count=1000000": 20, "?count=99999999999999999999": 20, "?count=007": 7, // one is enough, so more than there are is no mistake
	} {
		a := s.do(call{method: http.MethodGet, path: "/nonces" + query})
		a.want(t, http.StatusOK, "", "")
		nonces, _ := a.body["nonces"].([]any)
		if len(nonces) != want || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d nonces, %v; want %d", query, len(nonces), a.header, want)
		}
		for _, n := range nonces {
			nonce, _ := n.(string)
			if seen[nonce] || !regexp.MustCompile(`^[0-9a-z]{32,}$`).MatchString(nonce) {
				t.Errorf("%q comes twice, or is not letters and digits alone", nonce)
			}
			seen[nonce] = true
		}
	}
	for _, query := range []string{
		"?count=0", "?count=", "?count", "?count=-1", "?count=five", "?count=5.0", "?count=0x5", "?count=%2B5", "?count=1&count=2", "?count=５",
		"?count=%zz", "?count=5&x=%z", "?count=5;x=1", "?x=1;count=5", "?;", "?%",
	} {
		a := s.do(call{method: http.MethodGet, path: "/nonces" + strings.ReplaceAll(query, "５", "%EF%BC%95")})
		a.want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
	}
}

// accepts says whether the site takes a nonce that d signs. It is asked without a session,
// so that what follows the device signature is a 401.
func (s *site) accepts(d device, nonce string) bool {
	s.t.Helper()
	a := s.do(call{path: "/refresh", header: d.headers(nonce)})
	if a.status == http.StatusUnauthorized {
		return true
	}
	a.want(s.t, http.StatusUnprocessableEntity, "invalid_external_auth", gateway.CodeDeviceSignatureInvalid)
	return false
}

// Whichever nonce the SDK takes from its pool is good.
func TestEveryNonceIsGood(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	d := newDevice(t)
	for _, n := range s.do(call{method: http.MethodGet, path: "/nonces?count=20"}).body["nonces"].([]any) {
		if !s.accepts(d, n.(string)) {
			t.Errorf("%q is refused", n)
		}
	}
}

// A nonce may be taken for as long as it lives, and not from the future, but for clocks that differ a little.
func TestNonceGrowsOld(t *testing.T) {
	for moved, want := range map[time.Duration]bool{
		0: true, httpapi.NonceLifetime / 2: true, httpapi.NonceLifetime - time.Millisecond: true,
		httpapi.NonceLifetime: false, 2 * httpapi.NonceLifetime: false, 100 * 365 * 24 * time.Hour: false,
		-30 * time.Second: true, -2 * time.Minute: false, -httpapi.NonceLifetime: false,
	} {
		s := newSite(t, httpapi.Options{})
		nonce := s.nonce()
		s.clock.Advance(moved)
		if got := s.accepts(newDevice(t), nonce); got != want {
			t.Errorf("after %s: accepted %t, want %t", moved, got, want)
		}
	}
}

// A nonce is good wherever the key and the environment are those that it was made with.
func TestNonceOfAnotherInstance(t *testing.T) {
	key, other := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	for _, c := range []struct {
		name     string
		one, two []byte
		id       string
		want     bool
	}{
		{"the same key", key, key, gatewaytest.EnvironmentID, true},
		{"another key", key, other, gatewaytest.EnvironmentID, false},
		{"another environment", key, key, "0b0e8a53-6d0c-4d0c-8f64-9d6d8f0f7a11", false},
		{"no keys", nil, nil, gatewaytest.EnvironmentID, false},
		{"empty keys", []byte{}, []byte{}, gatewaytest.EnvironmentID, false},
		{"no key, and 32 zeros", nil, make([]byte, 32), gatewaytest.EnvironmentID, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := newSite(t, httpapi.Options{NonceKey: c.one})
			to := newSite(t, httpapi.Options{NonceKey: c.two, Now: from.clock.Now}, func(cfg *gateway.Config) { cfg.ID = c.id })
			nonce, d := from.nonce(), newDevice(t)
			if !from.accepts(d, nonce) {
				t.Fatal("whoever gave it out refuses it")
			}
			if got := to.accepts(d, nonce); got != c.want {
				t.Errorf("the other one accepts it: %t, want %t", got, c.want)
			}
		})
	}
}

// Another spelling of a nonce, or a part of it that was changed, is another nonce.
func TestForgedNonce(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	nonce, another, d := s.nonce(), s.nonce(), newDevice(t)
	for name, forged := range map[string]string{
		"empty":              "",
		"made up":            strings.Repeat("0", len(nonce)),
		"in capitals":        strings.ToUpper(nonce),
		"cut short":          nonce[:len(nonce)-1],
		"cut by a byte":      nonce[:len(nonce)-2],
		"longer":             nonce + "00",
		"a space before":     " " + nonce,
		"a space after":      nonce + " ",
		"another time":       nonce[:1] + otherDigit(nonce[1]) + nonce[2:],
		"other randomness":   nonce[:16] + another[16:48] + nonce[48:],
		"another one's MAC":  nonce[:48] + another[48:],
		"no digits":          strings.Repeat("z", len(nonce)),
		"another last digit": nonce[:len(nonce)-1] + otherDigit(nonce[len(nonce)-1]),
	} {
		if s.accepts(d, forged) {
			t.Errorf("%s: %q is accepted", name, forged)
		}
	}
	if !s.accepts(d, nonce) || !s.accepts(d, another) {
		t.Error("the nonces themselves are refused")
	}
}

func otherDigit(digit byte) string {
	if digit == '0' {
		return "1"
	}
	return "0"
}
