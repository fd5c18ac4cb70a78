package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// benchApp is the app of one environment that trusts issuer and keeps its things in a temporary directory.
func benchApp(b *testing.B, issuer *verifiertest.Issuer) map[string]any {
	return map[string]any{"environments": map[string]any{"default": map[string]any{
		"issuer":   issuer.URL(),
		"jwks_url": issuer.JWKSURL(),
		"store":    map[string]any{"store": "file", "path": filepath.Join(b.TempDir(), "store.db")},
		"scopes":   map[string]any{"sign": map[string]any{"multi_use": true}},
	}}}
}

func benchConfig(b *testing.B, issuer *verifiertest.Issuer, servers map[string]any) []byte {
	b.Helper()
	config, err := json.Marshal(map[string]any{
		"admin":   map[string]any{"disabled": true},
		"logging": map[string]any{"logs": map[string]any{"default": map[string]any{"level": "ERROR"}}},
		"storage": map[string]any{"module": "file_system", "root": b.TempDir()},
		"apps":    map[string]any{"byoa": benchApp(b, issuer), "http": map[string]any{"servers": servers}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return config
}

func server(address string, handlers ...map[string]any) map[string]any {
	return map[string]any{
		"listen":          []string{address},
		"automatic_https": map[string]any{"disable": true},
		"routes":          []any{map[string]any{"handle": handlers}},
	}
}

// BenchmarkHandlers measures what the handlers add to a request whose token is
// remembered: the gate, and the gate with a step-up by an elevated token for several uses.
func BenchmarkHandlers(b *testing.B) {
	issuer := verifiertest.NewIssuer(b)
	var config caddy.Config
	if err := json.Unmarshal(benchConfig(b, issuer, map[string]any{"bench": server("127.0.0.1:0",
		map[string]any{"handler": "byoa"}, map[string]any{"handler": "step_up", "scopes": []string{"sign"}})}), &config); err != nil {
		b.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(&config)
	if err != nil {
		b.Fatal(err)
	}
	app, err := ctx.App("http")
	if err != nil {
		b.Fatal(err)
	}
	var gate *Gate
	var stepUp *StepUp
	eachHandler(app.(*caddyhttp.App).Servers["bench"], func(h caddyhttp.MiddlewareHandler) {
		switch h := h.(type) {
		case *Gate:
			gate = h
		case *StepUp:
			stepUp = h
		}
	})
	b.Cleanup(func() {
		if err := gate.live.lease.release(); err != nil {
			b.Error(err)
		}
	})
	token := issuer.Token(nil)
	noOp := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	guarded := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return stepUp.ServeHTTP(w, r, noOp) })
	elevated := elevatedToken(b, gate, issuer, token)
	for _, c := range []struct {
		name  string
		serve func(w http.ResponseWriter, r *http.Request) error
	}{
		{"nothing", noOp}, // what making the request takes, which is part of the others too
		{"byoa", func(w http.ResponseWriter, r *http.Request) error { return gate.ServeHTTP(w, r, noOp) }},
		{"byoa+step_up", func(w http.ResponseWriter, r *http.Request) error { return gate.ServeHTTP(w, r, guarded) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				if err := c.serve(w, benchRequest(token, elevated)); err != nil || w.Code != http.StatusOK {
					b.Fatal(err, w.Body)
				}
			}
		})
	}
}

func elevatedToken(b *testing.B, g *Gate, issuer *verifiertest.Issuer, token string) string {
	b.Helper()
	env, err := g.live.gateway()
	if err != nil {
		b.Fatal(err)
	}
	var s *gateway.Session
	for range 100 { // the memory takes a token up in its own time
		if s, err = env.Authenticate(context.Background(), token); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	el, err := env.Elevate(context.Background(), s, issuer.Assertion(s.ExternalID(), "sign", nil))
	if err != nil {
		b.Fatal(err)
	}
	return el.Token
}

func benchRequest(token, elevated string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/wallets/1", nil)
	r.Header = http.Header{
		"Authorization":               {"Bearer " + token},
		"X-Dyn-Elevated-Access-Token": {elevated},
		"User-Agent":                  {"bench"},
		"Accept":                      {"*/*"},
	}
	return r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
}

// BenchmarkThroughCaddy sends requests by turns through a plain reverse_proxy and
// through one behind byoa, over loopback, and reports how much longer the second takes.
func BenchmarkThroughCaddy(b *testing.B) {
	issuer := verifiertest.NewIssuer(b)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	b.Cleanup(upstream.Close)
	plain, gated := freeport.Address(b), freeport.Address(b)
	proxy := map[string]any{"handler": "reverse_proxy", "upstreams": []any{map[string]any{"dial": upstream.Listener.Addr().String()}}}
	config := benchConfig(b, issuer, map[string]any{
		"plain": server(plain, proxy),
		"gated": server(gated, map[string]any{"handler": "byoa"}, proxy),
	})
	if err := caddy.Load(config, true); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = caddy.Stop() })
	token := issuer.Token(nil)
	for range 200 { // both are warm, and the token is remembered
		benchCall(b, plain, token)
		benchCall(b, gated, token)
	}
	var took [2]time.Duration
	for b.Loop() {
		for i, address := range []string{plain, gated} {
			start := time.Now()
			benchCall(b, address, token)
			took[i] += time.Since(start)
		}
	}
	b.ReportMetric(float64(took[1])/float64(took[0]), "gated/plain")
}

func benchCall(b *testing.B, address, token string) {
	b.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	_, err = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK {
		b.Fatal(fmt.Errorf("%d %w", res.StatusCode, err))
	}
}
