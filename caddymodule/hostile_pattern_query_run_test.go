package caddymodule_test

import (
	"encoding/json"
	"testing"
)

// A pretence is a target that has the name of an open route in it, where no path is.
type pretence struct {
	target string
	scope  string // that it needs all the same; empty: nobody knows what it asks for
}

var pretences = []pretence{
	{"/api/private?x=/public", "private"},
	{"/api/private?/public", "private"},
	{"/api/private?/../../public", "private"},
	{"/admin?next=/public/", "admin"},
	{"/admin?/../public", "admin"},
	{"/admin/?#/public", "admin"},
	{"/admin#/public", "admin"},
	{"/admin#/../public", ""},
	{"/admin%23/public", "admin"},
	{"/admin%23", "admin"},
	{"/admin%3f/public", "admin"},
	{"/admin%3Fx=/public", "admin"},
	{"/wallets/1%23/export", "wallet"}, // for who cuts there it is /wallets/1, which needs a session alone
	{"/wallets/1%3f/export", "wallet"},
}

// Whoever held the whole of the target against a pattern opened everything to "?x=/public"
// (oauth2-proxy CVE-2025-54576), and whoever cut it at another character than the upstream
// did, to "#/public" (oauth2-proxy CVE-2026-41059, Istio CVE-2021-39156).
func TestQueryIsNotThePath(t *testing.T) {
	for _, fallback := range []string{"deny", "session"} {
		t.Run("default "+fallback, func(t *testing.T) {
			g := startWire(t, plainEnvironment, `@guarded not path /public /public/*
	byoa @guarded
	step_up @guarded {
		/api/private private
		/admin/      admin
		/wallets/{id}       -
		/wallets/{id}/{act} wallet
		default      `+fallback+`
	}
	reverse_proxy {{upstream}}`)
			external := g.external("alice")
			overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
				for _, p := range pretences {
					p.mustNeedItsScope(t, g, send, external, fallback)
				}
				for _, target := range []string{"/public?x=/api/private", "/public/?/admin", "/public/x?next=/admin#/admin"} {
					if got := send(wireRequest{method: "GET", target: target}); got.status != 200 {
						t.Errorf("%s, which is open: %d %s", target, got.status, got.body)
					}
				}
				for _, target := range []string{"/wallets/1", "/wallets/1?/export", "/wallets/1%24"} {
					if got := send(wireRequest{method: "GET", target: target, lines: [][2]string{{"Authorization", "Bearer " + external}}}); got.status != 200 {
						t.Errorf("%s, which needs a session alone: %d %s", target, got.status, got.body)
					}
				}
				for _, target := range []string{"/admin?/public", "/admin/?next=/public"} {
					got := send(wireRequest{method: "GET", target: target, lines: [][2]string{
						{"Authorization", "Bearer " + external}, {"X-Step-Up-Assertion", g.assertion("alice", "admin")},
					}})
					if got.status != 200 || g.upstream.last(t).RequestURI != target {
						t.Errorf("%s with the scope: %d %s, and the upstream got %s", target, got.status, got.body, g.upstream.last(t).RequestURI)
					}
				}
			})
		})
	}
}

// mustNeedItsScope sends it without a token, and with one of a session alone. A server may take it
// for no request; the upstream must not get it.
func (p pretence) mustNeedItsScope(t *testing.T, g *running, send func(wireRequest) wireAnswer, external, fallback string) {
	t.Helper()
	before := g.upstream.count()
	if got := send(wireRequest{method: "GET", target: p.target}); got.status != 401 && got.status != 400 {
		t.Errorf("%s without a token: %d %s", p.target, got.status, got.body)
	}
	got := send(wireRequest{method: "GET", target: p.target, lines: [][2]string{{"Authorization", "Bearer " + external}}})
	var body struct{ Code, Scope string }
	_ = json.Unmarshal([]byte(got.body), &body)
	needs := body.Code == "step_up_required" && body.Scope == p.scope
	if p.scope == "" {
		needs = body.Code == "ambiguous_path"
	}
	if !needs && (fallback != "deny" || body.Code != "route_denied") {
		t.Errorf("%s with a session: %d %s, want that it needs %s", p.target, got.status, got.body, p.scope)
	}
	if n := g.upstream.count() - before; n != 0 {
		t.Errorf("%s reached the upstream as %s", p.target, g.upstream.last(t).RequestURI)
	}
}
