package caddymodule

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// aGate is one that no server stands before, of an environment that may remember so much.
func aGate(t *testing.T, issuer *verifiertest.Issuer, cacheSize int) *Gate {
	t.Helper()
	raw, err := json.Marshal(map[string]any{
		"admin":   map[string]any{"disabled": true},
		"logging": map[string]any{"logs": map[string]any{"default": map[string]any{"level": "ERROR"}}},
		"storage": map[string]any{"module": "file_system", "root": t.TempDir()},
		"apps": map[string]any{
			"byoa": map[string]any{"environments": map[string]any{"default": map[string]any{
				"issuer": issuer.URL(), "jwks_url": issuer.JWKSURL(), "cache_size": cacheSize,
				"exchange": map[string]any{"exchanger": "local", "algorithm": "EdDSA"}, "store": map[string]any{"store": "memory"},
			}}},
			"http": map[string]any{"servers": map[string]any{"memory": server("127.0.0.1:0", map[string]any{"handler": "byoa"})}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var config caddy.Config
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(&config)
	if err != nil {
		t.Fatal(err)
	}
	app, err := ctx.App("http")
	if err != nil {
		t.Fatal(err)
	}
	var gate *Gate
	eachHandler(app.(*caddyhttp.App).Servers["memory"], func(h caddyhttp.MiddlewareHandler) { gate = h.(*Gate) })
	return gate
}

// A crowd sends tokens of which no two are the same: of three, two are good, and the third is one of badTokens.
type crowd struct {
	issuer, stranger *verifiertest.Issuer
	pad              string // so that each takes some room
}

func (c *crowd) token(n int) (token string, status int) {
	claims := map[string]any{"sub": "user-" + strconv.Itoa(n), "jti": strconv.Itoa(n), "pad": c.pad}
	if n%3 != 0 {
		return c.issuer.Token(claims), http.StatusOK
	}
	switch n / 3 % 5 {
	case 0:
		claims["exp"] = 1
	case 1:
		claims["iss"] = "https://nobody.example"
	case 2: // a key that nobody knows
		claims["iss"] = c.issuer.URL()
		return c.stranger.Token(claims), http.StatusUnauthorized
	case 3: // another signature
		token := c.issuer.Token(claims)
		return token[:strings.LastIndexByte(token, '.')+1] + strings.Repeat("A", 86), http.StatusUnauthorized
	default:
		return strconv.Itoa(n) + c.pad, http.StatusUnauthorized
	}
	return c.issuer.Token(claims), http.StatusUnauthorized
}

// send shows a gate the tokens from one number to another.
func (c *crowd) send(t *testing.T, gate *Gate, from, to int) {
	t.Helper()
	noOp := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	numbers := make(chan int)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for n := range numbers {
				token, want := c.token(n)
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				w := httptest.NewRecorder()
				err := gate.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer())), noOp)
				if err != nil || w.Code != want {
					t.Errorf("token %d: %d %v, want %d", n, w.Code, err, want)
				}
			}
		})
	}
	for n := from; n < to && !t.Failed(); n++ {
		numbers <- n
	}
	close(numbers)
	workers.Wait()
}

// heapAtRest is the heap once what earlier tests have left behind is gone, or does not go.
func heapAtRest() int {
	now := heapInUse()
	for range 20 {
		time.Sleep(20 * time.Millisecond)
		before := now
		if now = heapInUse(); before-now < 64<<10 {
			break
		}
	}
	return now
}

func heapInUse() int {
	runtime.GC()
	runtime.GC() // what the first has finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// largest is the most that the heap has held while a gate with a cache of this size was shown so many tokens.
func (c *crowd) largest(t *testing.T, cacheSize, tokens int) int {
	t.Helper()
	gate := aGate(t, c.issuer, cacheSize)
	defer func() {
		if err := gate.live.lease.release(); err != nil {
			t.Error(err)
		}
	}()
	const looks = 4
	most := 0
	for i := range looks {
		c.send(t, gate, tokens*i/looks, tokens*(i+1)/looks)
		most = max(most, heapInUse())
	}
	runtime.KeepAlive(gate)
	return most
}

// Tokens cost nothing to whoever has a login: each request may bring another one. If what
// the gateway keeps of them grew with their number, that would end it. (go-authcrunch #100.)
// Bad ones cost less still, and nothing is kept of them at all.
//
// The tokens that this sends by itself are enough to show that they are not kept, and few
// enough for a slow machine. BYOA_TEST_TOKENS=1000000 makes it as many as an attacker sends;
// without the race detector that takes some ten minutes, so raise -timeout with it.
func TestManyTokensDoNotFillTheMemory(t *testing.T) {
	const (
		cache = 1 << 20
		rest  = 2 << 20 // whatever else an environment has in memory
	)
	tokens := 1500 // of which the good ones would take some nine times the cache
	if many, err := strconv.Atoi(os.Getenv("BYOA_TEST_TOKENS")); err == nil {
		tokens = max(tokens, many)
	}
	c := &crowd{
		issuer: verifiertest.NewIssuer(t, verifiertest.WithAlgorithm("EdDSA")), stranger: verifiertest.NewIssuer(t, verifiertest.WithAlgorithm("EdDSA")),
		pad: strings.Repeat("x", 1500),
	}
	before := heapAtRest()
	most := c.largest(t, cache, tokens) - before
	t.Logf("%d tokens: the heap grew by %d KiB", tokens, most>>10)
	if limit := cache*3/2 + rest; most > limit {
		t.Errorf("with a cache of %d bytes the heap grew by %d, want %d at most", cache, most, limit)
	}
	more := c.largest(t, 4*cache, tokens) - before
	t.Logf("with four times the cache it grew by %d KiB", more>>10)
	if more < most+cache {
		t.Errorf("control: with four times the cache the heap grew by %d, with one by %d: it is not the cache that bounds it", more, most)
	}
}
