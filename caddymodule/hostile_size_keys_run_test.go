package caddymodule_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// hugeDocuments are the answers of an issuer that somebody has taken over.
var hugeDocuments = []struct {
	name    string
	serve   func(w http.ResponseWriter, r *http.Request)
	mention string // in the log
}{
	{"a gigabyte in a megabyte of gzip", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		for range 1 << 10 {
			if _, err := w.Write(megabyteOfSpaces); err != nil {
				return
			}
		}
	}, "larger than 1048576 bytes"},
	{"without an end", func(w http.ResponseWriter, r *http.Request) {
		for spaces := bytes.Repeat([]byte(" "), 64<<10); r.Context().Err() == nil; {
			if _, err := w.Write(spaces); err != nil {
				return
			}
		}
	}, "larger than 1048576 bytes"},
	{"a hundred thousand objects, nested", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, strings.Repeat(`{"keys":`, 100_000), "[]", strings.Repeat("}", 100_000))
	}, "not a JSON object"},
	{"a hundred thousand arrays, nested in a key", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"keys":[{"kty":`, strings.Repeat("[", 100_000), strings.Repeat("]", 100_000), "}]}")
	}, "not a JSON object"},
	{"a member a hundred thousand times", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"keys":[]`, strings.Repeat(`,"x":0`, 100_000), "}")
	}, "a member twice"},
	{"a hundred thousand keys", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"keys":[{}`, strings.Repeat(",{}", 100_000), "]}")
	}, "more than 100"},
}

// megabyteOfSpaces is a megabyte as gzip has it. Any number of these in a row are as many
// megabytes (RFC 1952 section 2.2).
var megabyteOfSpaces = func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
	_ = z.Close()
	return b.Bytes()
}()

// swollen is an issuer whose documents are served by whatever handler is set.
type swollen struct {
	*httptest.Server
	keys, metadata atomic.Pointer[http.HandlerFunc]
}

func newSwollen(t *testing.T, keys func() []byte) *swollen {
	t.Helper()
	s := &swollen{}
	mux := http.NewServeMux()
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) { (*s.keys.Load())(w, r) })
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) { (*s.metadata.Load())(w, r) })
	s.setKeys(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(keys()) })
	s.setMetadata(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.URL, s.URL+"/keys")
	})
	return s
}

func (s *swollen) setKeys(h http.HandlerFunc)     { s.keys.Store(&h) }
func (s *swollen) setMetadata(h http.HandlerFunc) { s.metadata.Store(&h) }

// environment trusts it, by the URL of its keys or by discovery.
func (s *swollen) environment(keys string) string {
	return "environment {\nid " + environmentID + "\nissuer " + s.URL + "\naudience " + audience + "\nstore memory\n" + keys + "\n}"
}

func (s *swollen) token(g *running, user string) string {
	return g.external(user, map[string]any{"iss": s.URL})
}

// mostForKeys is what one fetch may allocate, and the requests around it: a document of a megabyte,
// which is read into memory that grows, and a few times over where it is parsed.
const mostForKeys = 64 << 20

// The issuer is trusted for its keys, and for nothing else: what it sends must not be able to
// end the gateway. The keys that were there serve on; where there were none, nobody passes.
func TestHugeJWKSCostsLittle(t *testing.T) {
	for _, d := range hugeDocuments {
		t.Run(d.name, func(t *testing.T) {
			g := prepare(t)
			s := newSwollen(t, g.issuer.JWKS)
			g.load(s.environment("jwks_url "+s.URL+"/keys"), plainSite)
			g.want(request{path: "/wallets/1", bearer: s.token(g, "alice")}, 200, "")

			s.setKeys(d.serve)
			stranger := g.secret(g.issuer.Sign(map[string]any{"kid": "made-up"}, map[string]any{
				"iss": s.URL, "sub": "mallory", "aud": audience, "exp": 20_000_000_000,
			}))
			mustAllocate(t, mostForKeys, func() { // the stranger has them fetched
				if got := g.do(request{path: "/wallets/1", bearer: stranger}); got.status != 401 && got.status != 503 {
					t.Errorf("the stranger: %d %s", got.status, got.raw)
				}
				g.waitUntilLogged(s.URL, d.mention)
			})
			g.want(request{path: "/wallets/1", bearer: s.token(g, "bob")}, 200, "")
		})
	}
}

func TestHugeJWKSAtTheStartCostsLittle(t *testing.T) {
	for _, d := range hugeDocuments {
		for what, set := range map[string]func(s *swollen){
			"keys":     func(s *swollen) { s.setKeys(d.serve) },
			"metadata": func(s *swollen) { s.setMetadata(d.serve) },
		} {
			t.Run(what+": "+d.name, func(t *testing.T) {
				g := prepare(t)
				s := newSwollen(t, g.issuer.JWKS)
				set(s)
				mustAllocate(t, mostForKeys, func() {
					g.load(s.environment("discovery on"), plainSite)
					g.want(request{path: "/wallets/1", bearer: s.token(g, "alice")}, 503, "keys_unavailable")
					g.waitUntilLogged(s.URL)
				})
				if g.upstream.count() != 0 {
					t.Error("a request went through")
				}
			})
		}
	}
}

// mustAllocate fails the test if all of what do does takes more memory than this, whether or not
// it was let go of meanwhile.
func mustAllocate(t *testing.T, most uint64, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > most {
		t.Errorf("%d bytes allocated, want %d at most", got, most)
	}
}

// The limit is a limit and not a guess: with its last byte a set still counts, and its new key
// serves at once.
func TestJWKSOfAMegabyteIsTaken(t *testing.T) {
	for size, taken := range map[int]bool{1<<20 - 1: true, 1 << 20: true, 1<<20 + 1: false} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			g := prepare(t)
			s := newSwollen(t, g.issuer.JWKS)
			g.load(s.environment("jwks_url "+s.URL+"/keys"), plainSite)
			g.want(request{path: "/wallets/1", bearer: s.token(g, "alice")}, 200, "")

			g.issuer.Rotate()
			keys := g.issuer.JWKS()
			padded := append(keys, bytes.Repeat([]byte(" "), size-len(keys))...)
			s.setKeys(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(padded) })
			bob := request{path: "/wallets/1", bearer: s.token(g, "bob")}
			if taken {
				g.want(bob, 200, "")
				return
			}
			g.want(bob, 401, "key_not_found")
			g.waitUntilLogged(s.URL, "larger than 1048576 bytes")
		})
	}
}
