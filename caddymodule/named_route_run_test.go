package caddymodule_test

import "testing"

// A guard holds in whatever form of the Caddyfile it is written, and is never left out of the
// config without a word.
func TestGuardHoldsInEveryForm(t *testing.T) {
	const (
		guard = "\n byoa\n step_up {\n POST /export wallet:export\n default session\n }\n"
		serve = "\n reverse_proxy {{upstream}}\n"
	)
	for _, c := range []struct{ name, blocks, site string }{
		{"a site", "", guard + serve},
		{"a route block", "", "route {" + guard + serve + "}"},
		{"a named route", "&(guard) {" + guard + "}", "route {\n invoke guard" + serve + "}"},
		{"a named route with the upstream", "&(all) {" + guard + serve + "}", "invoke all"},
		{"a named route, in the other order", "&(guard) {\n step_up {\n POST /export wallet:export\n default session\n }\n byoa\n}", "route {\n invoke guard" + serve + "}"},
		{"a named route with matchers", "&(guard) {\n byoa *\n step_up /export wallet:export\n}", "route {\n invoke guard" + serve + "}"},
		{"a named route behind another directive", "&(guard) {\n header X-Served-By caddy" + guard + "}", "route {\n invoke guard" + serve + "}"},
		{"a named route with a route block", "&(guard) {\n route {" + guard + "}\n}", "route {\n invoke guard" + serve + "}"},
		{"a named route with the endpoints", "&(guard) {\n byoa_api /elsewhere" + guard + "}", "route {\n byoa_api\n invoke guard" + serve + "}"},
		{"a named route with a snippet", "(guard) {" + guard + "}\n&(named) {\n import guard\n}", "route {\n invoke named" + serve + "}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := prepare(t)
			g.sites = c.blocks
			g.load(plainEnvironment, c.site)
			session := g.external("alice")
			g.want(request{method: "POST", path: "/export"}, 401, "token_missing")
			g.want(request{method: "POST", path: "/export", bearer: session}, 403, "step_up_required")
			if got := g.upstream.count(); got != 0 {
				t.Errorf("%d requests came to the upstream, want none", got)
			}
			g.want(request{path: "/", bearer: session}, 200, "")
			if got := g.upstream.count(); got != 1 {
				t.Errorf("%d requests came to the upstream, want 1", got)
			}
		})
	}
}

// The snippet stands in the site that it is imported to.
func TestGuardHoldsInASnippet(t *testing.T) {
	g := prepare(t)
	g.site = "(guard) {\n byoa\n step_up wallet:export\n}\nhttp://" + g.address
	g.load(plainEnvironment, "import guard\n reverse_proxy {{upstream}}")
	g.want(request{path: "/"}, 401, "token_missing")
	g.want(request{path: "/", bearer: g.external("alice")}, 403, "step_up_required")
}

// A gate alone, behind a directive that Caddy would keep instead of it.
func TestGateAloneIsKeptInANamedRoute(t *testing.T) {
	for _, guard := range []string{
		"byoa", "header X-Served-By caddy\n byoa", "vars a b\n header X-Served-By caddy\n byoa",
	} {
		g := prepare(t)
		g.sites = "&(guard) {\n " + guard + "\n}"
		g.load(plainEnvironment, "route {\n invoke guard\n reverse_proxy {{upstream}}\n}")
		g.want(request{path: "/"}, 401, "token_missing")
		g.want(request{path: "/", bearer: g.external("alice")}, 200, "")
	}
}
