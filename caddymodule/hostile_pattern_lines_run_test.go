package caddymodule_test

import (
	"strings"
	"testing"
)

// An overlap is a request that several lines match, and the one that decides.
type overlap struct {
	path  string
	need  string   // the scope of the line that decides; empty: a session
	never []string // scopes of the others, which it neither takes nor asks for
}

var overlaps = []overlap{
	{"/wallets/1", "one", []string{"tree", "any", "rest"}},
	{"/wallets/2", "any", []string{"tree", "one", "rest"}},
	{"/wallets/2/x", "tree", []string{"any", "one", "rest"}},
	{"/wallets", "tree", []string{"any", "rest"}},
	{"/wallets/open", "", nil},
	{"/elsewhere", "rest", []string{"tree", "any"}},
}

// Where two lines match, a union of what they say refuses whom it should not, and the weaker
// of both lets in whom it should not. The most specific one decides, alone and whole.
func TestOneLineDecides(t *testing.T) {
	g := start(t, plainEnvironment, `byoa
	step_up {
		/wallets/     tree
		/wallets/{id} any
		/wallets/1    one
		/wallets/open -
		/{rest...}    rest
	}
	reverse_proxy {{upstream}}`)
	alice := g.external("alice")
	for _, o := range overlaps {
		t.Run(o.path, func(t *testing.T) {
			if o.need != "" {
				got := g.want(request{path: o.path, bearer: alice}, 403, "step_up_required")
				if got.body["scope"] != o.need {
					t.Errorf("it asks for %q, want %q", got.body["scope"], o.need)
				}
			}
			for _, other := range o.never {
				g.want(request{path: o.path, bearer: alice, assertion: g.assertion("alice", other)}, 403, "step_up_required")
			}
			r := request{path: o.path, bearer: alice}
			if o.need != "" {
				r.assertion = g.assertion("alice", o.need)
			}
			g.want(r, 200, "")
		})
	}
}

// twoHosts are two sites on one port, each with an environment and a table of its own.
const twoHosts = `byoa first
	step_up {
		/alpha  alpha
		/both   both:first
		/shared -
	}
	reverse_proxy {{upstream}}`

// One entry's path with another entry's host once let a request in that neither of the two
// was for. What decides is one site: its environment and its table, whatever else in the
// request has the name of the other.
func TestOneSiteDecides(t *testing.T) {
	g, first, second := twoTenants(t)
	const here, there = "here.example", "there.example"
	g.site = "http://" + here + ":" + portOf(g.address)
	second.at = there + ":" + portOf(g.address)
	g.sites = "http://" + second.at + " {\n" + strings.NewReplacer("first", "second", "alpha", "beta").Replace(twoHosts) + "\n}"
	g.load(first.environment()+"\n"+second.environment(), twoHosts)
	alice := map[*tenant]string{first: first.externalJWT("alice"), second: second.externalJWT("alice")}

	for _, c := range []struct {
		name, host, target string
		whose              *tenant
		scope              string // of an assertion that the same tenant's login system signed
		status             int
		code               string
	}{
		{"a session of its own", here, "/shared", first, "", 200, ""},
		{"a session of the other", here, "/shared", second, "", 401, "issuer_mismatch"},
		{"the scope that it names", here, "/both", first, "both:first", 200, ""},
		{"the scope that the other names", here, "/both", first, "both:second", 403, "step_up_required"},
		{"both of the other", here, "/both", second, "both:second", 401, "issuer_mismatch"},
		{"a path that the other names", here, "/beta", first, "beta", 403, "route_denied"},
		{"the other's host in the target", here, "http://" + there + "/both", first, "both:first", 401, "issuer_mismatch"},
		{"the other's host in the target, and the other's token", here, "http://" + there + "/both", second, "both:second", 200, ""},
		{"the other's host in the path", here, "/" + there + "/beta", first, "beta", 403, "route_denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := g.upstream.count()
			assertion := ""
			if c.scope != "" {
				assertion = g.secret(c.whose.issuer.Assertion("alice", c.scope, nil))
			}
			got := g.wireTo(c.host+":"+portOf(g.address), c.target, alice[c.whose], assertion)
			if got.status != c.status || got.code != c.code {
				t.Errorf("%d %q, want %d %q\n%s", got.status, got.code, c.status, c.code, got.raw)
			}
			if reached := g.upstream.count() > before; reached != (c.status == 200) {
				t.Errorf("reached the upstream: %t", reached)
			}
		})
	}
}
