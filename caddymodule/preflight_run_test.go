package caddymodule_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// protocols are clients of the gateway of [prepareTLS] by what they speak.
func (g *running) protocols() map[string]http.RoundTripper {
	g.t.Helper()
	trust := func() *tls.Config { return &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"} }
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, g.address)
	}
	one := &http.Transport{TLSClientConfig: trust(), DialContext: dial}
	two := &http.Transport{TLSClientConfig: trust(), DialContext: dial, ForceAttemptHTTP2: true}
	three := &http3.Transport{
		TLSClientConfig: trust(),
		Dial: func(ctx context.Context, _ string, trust *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, g.address, trust, cfg)
		},
	}
	g.t.Cleanup(func() {
		one.CloseIdleConnections()
		two.CloseIdleConnections()
		_ = three.Close()
	})
	return map[string]http.RoundTripper{"HTTP/1.1": one, "HTTP/2.0": two, "HTTP/3.0": three}
}

// unsized is a body of which a client does not say how long it is.
type unsized struct{ io.Reader }

// A browser speaks HTTP/3 with the gateway as soon as it has learned that it can, which Caddy
// tells it with every answer. There nobody says that a request has no body.
func TestPreflightsOverEveryProtocol(t *testing.T) {
	g := prepareTLS(t)
	g.load(sdkEnvironment, plainSite)
	for protocol, client := range g.protocols() {
		for body, with := range map[string]func() io.Reader{
			"no body":                   func() io.Reader { return nil },
			"an empty body":             func() io.Reader { return unsized{strings.NewReader("")} },
			"a body of no known length": func() io.Reader { return unsized{strings.NewReader("pay")} },
		} {
			t.Run(protocol+", "+body, func(t *testing.T) {
				for _, path := range []string{signInPath, "/wallets/1"} {
					before := g.upstream.count()
					res := g.preflight(client, protocol, pageOrigin, path, with())
					if res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != pageOrigin {
						t.Errorf("%s: %d %v, want 204 for %s", path, res.StatusCode, res.Header, pageOrigin)
					}
					if n := g.upstream.count() - before; n != 0 {
						t.Errorf("%s: %d answered preflights reached the upstream", path, n)
					}
				}
				if res := g.preflight(client, protocol, strangerOrigin, signInPath, with()); res.StatusCode != 405 || res.Header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("a stranger gets %d %v, want 405 that no page can read", res.StatusCode, res.Header)
				}
				g.wantPassedOn(client, protocol, with())
			})
		}
	}
}

// wantPassedOn fails the test unless a preflight of a page that is not the gateway's to
// allow reaches the upstream, and brings nothing but itself.
func (g *running) wantPassedOn(client http.RoundTripper, protocol string, body io.Reader) {
	g.t.Helper()
	before := g.upstream.count()
	if res := g.preflight(client, protocol, strangerOrigin, "/wallets/1", body); res.StatusCode != 200 || g.upstream.count() != before+1 {
		g.t.Fatalf("a stranger's preflight gets %d, want the upstream's answer", res.StatusCode)
	}
	got := g.upstream.last(g.t)
	brought, err := io.ReadAll(got.Body)
	if err != nil || len(brought) > 0 || got.ContentLength != 0 || len(got.TransferEncoding) > 0 {
		g.t.Errorf("the upstream got %q, of length %d, in %q: a body that nobody was asked for a token for",
			brought, got.ContentLength, got.TransferEncoding)
	}
}

// With a body it is no question, and needs what any request needs.
func TestPreflightWithABodyIsARequestOverEveryProtocol(t *testing.T) {
	g := prepareTLS(t)
	g.load(sdkEnvironment, plainSite)
	for protocol, client := range g.protocols() {
		if res := g.preflight(client, protocol, strangerOrigin, "/wallets/1", strings.NewReader("pay")); res.StatusCode != 401 {
			t.Errorf("%s: %d, want 401", protocol, res.StatusCode)
		}
		if n := g.upstream.count(); n != 0 {
			t.Fatalf("%s: %d requests reached the upstream", protocol, n)
		}
	}
	for protocol, client := range g.protocols() {
		if res := g.preflight(client, protocol, strangerOrigin, "/wallets/1", nil); res.StatusCode != 200 {
			t.Errorf("%s: %d without a body, want 200", protocol, res.StatusCode)
		}
	}
}

// preflight sends a preflight.
func (g *running) preflight(client http.RoundTripper, protocol, origin, path string, body io.Reader) *http.Response {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodOptions, "https://localhost:"+portOf(g.address)+path, body)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header = http.Header{
		"Origin": {origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-type"},
	}
	res, err := client.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if res.Proto != protocol {
		g.t.Fatalf("spoke %s, want %s", res.Proto, protocol)
	}
	return res
}
