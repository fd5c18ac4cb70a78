package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// send posts a body, with headers, of whatever kind. Every answer that is an error has the one shape.
func send(t *testing.T, api *httpapi.API, path, body string, header http.Header) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header = header
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if w.Body.Len() > 0 && json.Unmarshal(w.Body.Bytes(), &a.body) != nil {
		t.Fatalf("the answer to %q is no JSON object: %s", body, w.Body)
	}
	why, _ := a.body["error"].(string)
	code, _ := a.body["code"].(string)
	if a.status >= http.StatusInternalServerError || a.status >= http.StatusBadRequest && (why == "" || code == "") {
		t.Fatalf("%s: %d %s", path, a.status, a.raw)
	}
	return a
}

// Whatever is sent, the answer is no failure of ours; what is taken is one JSON object to
// encoding/json as well; and what is refused for its form stores nothing.
func FuzzBody(f *testing.F) {
	var store watchedStore
	s := linkingSite(f, httpapi.Options{}, store.watched)
	token := s.signIn("alice")
	bodies := s.withBodies()
	for _, good := range bodies {
		for _, seed := range []string{
			good, good + good, good[:len(good)-1], "[" + good + "]", `{"jwt":"x","scope":"x",` + good[1:], `{"\u006awt":"x",` + good[1:],
			`{"JWT":"x",` + good[1:], strings.Replace(good, `":"`, `": "\ud800`, 1),
		} {
			f.Add(seed)
		}
	}
	for _, seed := range []string{"", "null", "{}", `{"jwt":null}`, `{"jwt":1}`, "{\"jwt\":\"\xff\"}", `{"scope":"a b"}`, `{"scope":"a  b"}`, " {\"scope\":\"\x00\"}", "\ufeff{}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for path := range bodies {
			written := store.writes.Load()
			a := send(t, s.api, path, body, http.Header{"Authorization": {"Bearer " + token}})
			if a.status == http.StatusBadRequest && store.writes.Load() != written {
				t.Errorf("%s: %q was refused and stored", path, body)
			}
			isObject := json.Valid([]byte(body)) && strings.HasPrefix(strings.TrimSpace(body), "{")
			if a.status != http.StatusBadRequest && !isObject {
				t.Errorf("%s: %q is no JSON object, and %d", path, body, a.status)
			}
		}
	})
}

// Whatever is a nonce was given out here, to the letter. What is tried is a nonce of which a part
// is replaced: each process that fuzzes gives out its own.
func FuzzNonce(f *testing.F) {
	s := newSite(f, httpapi.Options{})
	nonce, d := s.nonce(), newDevice(f)
	whole := uint8(len(nonce))
	f.Add(uint8(0), uint8(0), "")
	f.Add(uint8(0), whole, "made up")
	f.Add(uint8(0), whole, strings.Repeat("0", len(nonce)))
	f.Add(uint8(0), uint8(2), "00")
	f.Add(uint8(16), uint8(32), strings.Repeat("a", 32))
	f.Add(whole-1, uint8(1), "A")
	f.Add(whole, uint8(0), "\n")
	f.Add(whole, uint8(0), "00")
	f.Fuzz(func(t *testing.T, from, size uint8, by string) {
		start := min(int(from), len(nonce))
		end := min(start+int(size), len(nonce))
		tried := nonce[:start] + by + nonce[end:]
		a := send(t, s.api, "/refresh", "", device{t, d.key}.headers(tried))
		if accepted := a.status == http.StatusUnauthorized; accepted != (tried == nonce) {
			t.Errorf("%q is accepted: %t; %q was given out", tried, accepted, nonce)
		}
	})
}

// Whatever passes for a device signature is the one that the device has made: over that
// nonce, with that key. Hexadecimal digits have two spellings, and s has a second value that verifies too.
// Some of the three are tried, and the others are right.
func FuzzDevice(f *testing.F) {
	s := newSite(f, httpapi.Options{})
	d, nonce := newDevice(f), s.nonce()
	key, signature := d.publicKey(), d.sign(nonce)
	const allRight, nonceRight, keyRight, signatureRight = 7, 1, 2, 4
	f.Add(uint8(allRight), "", "", "")
	f.Add(uint8(0), "", "", "")
	f.Add(uint8(keyRight|signatureRight), "made up", "", "")
	f.Add(uint8(nonceRight|signatureRight), "", "02"+strings.Repeat("f", 64), "")
	f.Add(uint8(nonceRight|signatureRight), "", strings.Repeat("0", 66), "")
	f.Add(uint8(nonceRight|signatureRight), "", newDevice(f).publicKey(), "")
	f.Add(uint8(nonceRight|keyRight), "", "", newDevice(f).sign(nonce))
	f.Add(uint8(nonceRight|keyRight), "", "", strings.Repeat("0", 128))
	f.Add(uint8(nonceRight|keyRight), "", "", strings.Repeat("F", 128))
	f.Fuzz(func(t *testing.T, right uint8, aNonce, aKey, aSignature string) {
		if right&nonceRight != 0 {
			aNonce = nonce
		}
		if right&keyRight != 0 {
			aKey = key
		}
		if right&signatureRight != 0 {
			aSignature = signature
		}
		a := send(t, s.api, "/refresh", "", http.Header{deviceNonce: {aNonce}, deviceKey: {aKey}, deviceSignature: {aSignature}})
		accepted := a.status == http.StatusUnauthorized
		made := aNonce == nonce && strings.EqualFold(aKey, key) && len(aSignature) == 128 && strings.EqualFold(aSignature[:64], signature[:64])
		if accepted && !made || !accepted && made && strings.EqualFold(aSignature, signature) {
			t.Errorf("%q %q %q is accepted: %t (%s)", aNonce, aKey, aSignature, accepted, a.raw)
		}
	})
}
