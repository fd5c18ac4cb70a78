package caddymodule_test

import (
	"testing"
)

// Load balancers and monitors want to be let in, and gateways have learned to know them by
// what they say of themselves: so may anybody (CVE-2026-34457 of oauth2-proxy). Here a route
// that is written down is the only way past the gate.
func TestHealthProbeIsNoWayIn(t *testing.T) {
	probes := map[string][][2]string{
		"Kubernetes":  {{"User-Agent", "kube-probe/1.31"}},
		"Google":      {{"User-Agent", "GoogleHC/1.0"}},
		"AWS":         {{"User-Agent", "ELB-HealthChecker/2.0"}},
		"Consul":      {{"User-Agent", "Consul Health Check"}},
		"Prometheus":  {{"User-Agent", "Prometheus/3.0.0"}, {"Accept", "application/openmetrics-text"}},
		"Caddy":       {{"User-Agent", "Go-http-client/1.1"}, {"X-Health-Check", "1"}},
		"a browser":   {{"User-Agent", "Mozilla/5.0"}, {"Sec-Purpose", "prefetch;prerender"}, {"Purpose", "prefetch"}},
		"the machine": {{"X-Forwarded-For", "127.0.0.1"}, {"X-Real-Ip", "127.0.0.1"}, {"X-Internal", "true"}},
		"nobody":      {{"User-Agent", ""}},
	}
	targets := []string{"/", "/healthz", "/livez", "/ping", "/status", "/metrics", "/robots.txt", "/favicon.ico", "/.well-known/acme-challenge/x", "/.well-known/x"}
	g := startWire(t, plainEnvironment, `@probe path /open/healthz
	handle @probe {
		reverse_proxy {{upstream}}
	}
	handle {
		byoa
		reverse_proxy {{upstream}}
	}`)
	bearer := [2]string{"Authorization", "Bearer " + g.external("alice")}
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for name, lines := range probes {
			before := g.upstream.count()
			for _, target := range targets {
				for _, method := range []string{"GET", "HEAD"} {
					if got := send(wireRequest{method: method, target: target, lines: lines}); got.status != 401 {
						t.Errorf("%s %s as %s: %d %s, want 401", method, target, name, got.status, got.body)
					}
				}
			}
			if n := g.upstream.count() - before; n != 0 {
				t.Errorf("as %s, %d requests reached the upstream", name, n)
			}
			for _, target := range targets {
				if got := send(wireRequest{method: "GET", target: target, lines: append(lines[:len(lines):len(lines)], bearer)}); got.status != 200 {
					t.Errorf("GET %s as %s with a token: %d %s, want 200", target, name, got.status, got.body)
				}
			}
			if got := send(wireRequest{method: "GET", target: "/open/healthz", lines: lines}); got.status != 200 {
				t.Errorf("as %s, where the config exempts it: %d %s, want 200", name, got.status, got.body)
			}
		}
	})
}
