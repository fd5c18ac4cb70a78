package caddymodule_test

import (
	"strings"
	"testing"
)

// Where two step_up handlers match, one proof has to do for both. A client that was told what the
// second one needs, and no more, came back with that and was told what the first one needs, and spent a
// permission each time.
func TestTwoStepUpsDoNotLeadInACircle(t *testing.T) {
	g := start(t, plainEnvironment, `route {
		byoa
		step_up /wallets/* wallet:read
		step_up /wallets/*/export wallet:export audit
		step_up /wallets/*/open {
			default session
		}
		step_up /reported/* wallet:read {
			report_only
		}
		step_up /reported/* wallet:export
		reverse_proxy {{upstream}}
	}`)
	for _, c := range []struct {
		path, brought, want string
	}{
		{"/wallets/1/x", "", "wallet:read"},
		{"/wallets/1/x", "wallet:read", ""},
		{"/wallets/1/open", "wallet:read", ""},
		{"/wallets/1/export", "", "wallet:read"},
		{"/wallets/1/export", "wallet:read", "wallet:read wallet:export audit"},
		{"/wallets/1/export", "wallet:read wallet:export", "wallet:read wallet:export audit"},
		{"/wallets/1/export", "wallet:export audit", "wallet:read"},
		{"/wallets/1/export", "audit wallet:read wallet:export", ""},
		{"/reported/1", "wallet:read", "wallet:export"}, // what only reports is nothing that has to be met
		{"/reported/1", "wallet:export", ""},
	} {
		r := request{path: c.path, bearer: g.external("alice")}
		if c.brought != "" {
			r.assertion = g.assertion("alice", c.brought)
		}
		before := g.upstream.count()
		if c.want == "" {
			g.want(r, 200, "")
			continue
		}
		got := g.want(r, 403, "step_up_required")
		challenge := strings.Join(got.header["Www-Authenticate"], ", ")
		if got.body["scope"] != c.want || !strings.Contains(challenge, `scope="`+c.want+`"`) {
			t.Errorf("%s with %q: told to bring %q, %s; want %q", c.path, c.brought, got.body["scope"], challenge, c.want)
		}
		if g.upstream.count() != before {
			t.Errorf("%s with %q reached the upstream", c.path, c.brought)
		}
	}
}
