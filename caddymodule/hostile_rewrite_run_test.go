package caddymodule_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A placement is a place where a config changes the path, before the guard or behind it.
// {{guard}} stands for the gate and its table, {{root}} for a directory with a file /front.
type placement struct {
	name, site string
	asked      string // what the client asks for
	judged     string // the path that the table knows it by
	other      string // the other one, by which it does not
	sent       string // what the upstream gets
}

// placements are every way in which Caddy changes a path.
var placements = []placement{
	{
		name: "uri strip_prefix", site: "uri strip_prefix /api\n{{guard}}\nreverse_proxy {{upstream}}",
		asked: "/api/admin", judged: "/admin", other: "/api/admin", sent: "/admin",
	},
	{
		name: "uri strip_prefix written behind the guard", site: "{{guard}}\nuri strip_prefix /api\nreverse_proxy {{upstream}}",
		asked: "/api/admin", judged: "/admin", other: "/api/admin", sent: "/admin",
	},
	{
		name: "rewrite", site: "rewrite /old /admin\n{{guard}}\nreverse_proxy {{upstream}}",
		asked: "/old", judged: "/admin", other: "/old", sent: "/admin",
	},
	{
		name: "try_files", site: "root {{root}}\ntry_files {path} /front\n{{guard}}\nreverse_proxy {{upstream}}",
		asked: "/admin", judged: "/front", other: "/admin", sent: "/front",
	},
	{
		name: "handle_path behind the guard", site: "{{guard}}\nhandle_path /api/* {\nreverse_proxy {{upstream}}\n}",
		asked: "/api/admin", judged: "/api/admin", other: "/admin", sent: "/admin",
	},
	{
		name: "the guard within handle_path", site: "handle_path /api/* {\n{{guard}}\nreverse_proxy {{upstream}}\n}",
		asked: "/api/admin", judged: "/admin", other: "/api/admin", sent: "/admin",
	},
	{
		name: "the guard in a route, before uri", site: "route {\n{{guard}}\nuri strip_prefix /api\nreverse_proxy {{upstream}}\n}",
		asked: "/api/admin", judged: "/api/admin", other: "/admin", sent: "/admin",
	},
	{
		name: "rewrite within reverse_proxy", site: "{{guard}}\nreverse_proxy {{upstream}} {\nrewrite /admin\n}",
		asked: "/old", judged: "/old", other: "/admin", sent: "/admin",
	},
}

// guardedBy is the site with a table of these lines.
func (p placement) guardedBy(t *testing.T, lines string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "front"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("{{guard}}", "byoa\nstep_up {\n"+lines+"\n}", "{{root}}", root).Replace(p.site)
}

func (p placement) run(t *testing.T) {
	g := start(t, plainEnvironment, p.guardedBy(t, p.judged+" admin"))
	alice := request{path: p.asked, bearer: g.external("alice")}
	g.want(alice, 403, "step_up_required")
	if n := g.upstream.count(); n != 0 {
		t.Fatalf("%d requests reached the upstream without the scope", n)
	}
	alice.assertion = g.assertion("alice", "admin")
	g.want(alice, 200, "")
	if got := g.upstream.last(t).URL.Path; got != p.sent {
		t.Errorf("the upstream got %s, want %s", got, p.sent)
	}

	g.load(plainEnvironment, p.guardedBy(t, p.other+" admin"))
	alice.assertion = g.assertion("alice", "admin")
	g.want(alice, 403, "route_denied")
	if n := g.upstream.count(); n != 1 {
		t.Errorf("the line for %s let %s through", p.other, p.asked)
	}
}

// Behind gateways that judge one path and send another, whoever found the difference was
// let in (Traefik CVE-2026-40912, CVE-2026-48020). Here a line can be written for the path before a
// rewrite or for the one after it. One of the two is right, the README says which, and the
// other one opens nothing: not even to whoever has the scope that it names.
func TestRuleOnTheOriginalPathAndOnTheRewrittenOne(t *testing.T) {
	for _, p := range placements {
		t.Run(p.name, p.run)
	}
}

func TestReadmeSaysWhichPathDecides(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme := strings.Join(strings.Fields(string(b)), " ")
	for _, sentence := range []string{
		"The path that decides is the one as rewritten so far: `rewrite`, `uri` and `try_files` count, a later `handle_path` or a rewrite inside `reverse_proxy` does not.",
		"`byoa` and `step_up` after it and before `basic_auth`.",
	} {
		if !strings.Contains(readme, sentence) {
			t.Errorf("the README does not say: %s", sentence)
		}
	}
}

// A detour is a path by which somebody tries to get at what /api/admin is guarded for.
type detour struct {
	target string
	status int // without the scope
	code   string
}

// detours are as the gateway has them where the prefix is taken off, by whichever directive.
// The table leaves to a session what it does not name, so that whatever slips past its line passes.
var detours = []struct {
	name, site string
	detours    []detour
}{
	{"before the guard", `uri strip_prefix /api
	byoa
	step_up {
		/admin/  admin
		/public/ -
		default  session
	}
	reverse_proxy {{upstream}}`, []detour{
		{"/api/admin", 403, "step_up_required"},
		{"/admin", 403, "step_up_required"},
		{"/API/admin", 403, "step_up_required"},
		{"/aPi/Admin/", 403, "step_up_required"},
		{"/%61pi/admin", 403, "step_up_required"},
		{"/ap%69/%61dmin", 403, "step_up_required"},
		{"/apiadmin", 403, "step_up_required"},            // Caddy takes off what is no whole segment too
		{"/api/public/../admin", 403, "step_up_required"}, // and resolves what it can
		{"//api/admin", 403, "step_up_required"},
		{"/api//admin", 403, "step_up_required"},
		{"/api%2fadmin", 403, "step_up_required"},
		{"/api/public%2f..%2fadmin", 403, "step_up_required"},
		{"/api/%2fadmin", 400, "ambiguous_path"},
		{"/api/..;/admin", 400, "ambiguous_path"},
		{"/api/;/admin", 400, "ambiguous_path"},
		{"/api/admin;a=b", 400, "ambiguous_path"},
		{"/api%5cadmin", 400, "ambiguous_path"},
		{"/api/%2561dmin", 400, "ambiguous_path"},
	}},
	{"behind the guard", `byoa
	step_up {
		/api/admin/  admin
		/api/public/ -
		default      session
	}
	handle_path /api* {
		reverse_proxy {{upstream}}
	}`, []detour{
		{"/api/admin", 403, "step_up_required"},
		{"/API/admin", 403, "step_up_required"},
		{"/%61pi/admin", 403, "step_up_required"},
		{"/api/admin/", 403, "step_up_required"},
		{"/api/%61dmin", 403, "step_up_required"},
		{"//api/admin", 400, "ambiguous_path"},
		{"/api//admin", 400, "ambiguous_path"},
		{"/api/public/../admin", 400, "ambiguous_path"},
		{"/api%2fadmin", 400, "ambiguous_path"},
		{"/api/..;/admin", 400, "ambiguous_path"},
		{"/api%5cadmin", 400, "ambiguous_path"},
	}},
	{"behind a guard that lets every ambiguous path through", `byoa {
		allow_path encoded_slash double_encoding dot_segment empty_segment semicolon backslash trailing_dot
	}
	step_up {
		/api/admin/  admin
		/api/public/ -
		default      session
	}
	handle_path /api/* {
		reverse_proxy {{upstream}}
	}`, []detour{
		{"/api/admin", 403, "step_up_required"},
		{"//api/admin", 403, "step_up_required"},
		{"/api//admin", 403, "step_up_required"},
		{"/api/public/../admin", 403, "step_up_required"},
		{"/api/public/..;/admin", 403, "step_up_required"},
		{"/api%2fadmin", 403, "step_up_required"},
		{"/api%5cadmin", 403, "step_up_required"},
		{"/api/public%2f..%2fadmin", 403, "step_up_required"},
		{"/api/%2561dmin", 403, "step_up_required"},
		{"/api/admin;a=b", 403, "step_up_required"},
		{"/api/admin.", 403, "step_up_required"},
	}},
}

// A prefix that is taken off on the way must not be a way around the line for what is left.
func TestStrippedPrefixLeavesNoDetour(t *testing.T) {
	for _, s := range detours {
		t.Run(s.name, func(t *testing.T) {
			g := start(t, plainEnvironment, s.site)
			alice := g.external("alice")
			for _, d := range s.detours {
				got := g.wire(d.target, alice, "")
				if got.status != d.status || got.code != d.code {
					t.Errorf("%s: %d %q, want %d %q", d.target, got.status, got.code, d.status, d.code)
				}
			}
			if n := g.upstream.count(); n != 0 {
				t.Errorf("%d detours reached the upstream, the last as %s", n, g.upstream.last(t).RequestURI)
			}
			for target, want := range map[string]string{"/api/public/x": "/public/x", "/api/admin": "/admin"} {
				if got := g.wire(target, alice, g.assertion("alice", "admin")); got.status != 200 {
					t.Fatalf("%s with the scope: %d %s", target, got.status, got.raw)
				}
				if got := g.upstream.last(t).RequestURI; got != want {
					t.Errorf("%s reached the upstream as %s, want %s", target, got, want)
				}
			}
		})
	}
}
