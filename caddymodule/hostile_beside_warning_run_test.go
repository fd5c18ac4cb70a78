package caddymodule_test

import (
	"os"
	"strings"
	"testing"
)

// A gate within a block cannot clean what does not come into the block. Whoever has written it
// so learns it from the log, and nobody else is bothered.
func TestGateThatRequestsPassByIsWarnedAbout(t *testing.T) {
	const proxy = "\n reverse_proxy {{upstream}}\n"
	for _, c := range []struct {
		name, site string
		want       bool
	}{
		{"a gate in a block for a path", "handle /private/* {\n byoa\n" + proxy + "}\n handle {" + proxy + "}", true},
		{"and another upstream outside of it", "handle /private/* {\n byoa\n" + proxy + "}\n handle {\n reverse_proxy 127.0.0.1:1\n}", false},
		{"and a gate in the other block", "handle /private/* {\n byoa\n" + proxy + "}\n handle {\n byoa {\n optional\n }\n" + proxy + "}", false},
		{"and an answer in the other block", "handle /private/* {\n byoa\n" + proxy + "}\n handle {\n respond hello\n}", false},
		{"a gate in the other block alone", "handle /public/* {" + proxy + "}\n handle {\n byoa\n" + proxy + "}", true},
		{"a block for a method", "@w method POST\n handle @w {\n byoa\n" + proxy + "}\n" + proxy, true},
		{"a block for a host", "@h host localhost\n handle @h {\n byoa\n" + proxy + "}\n" + proxy, false},
		{"a block for every path", "handle * {\n byoa\n" + proxy + "}", false},
		{"a route for a path", "route /private/* {\n byoa\n}\n" + proxy, true},
		{"a route", "route {\n byoa\n" + proxy + "}", false},
		{"a route with the matcher at the gate", "route {\n byoa /private/*\n" + proxy + "}", false},
		{"a matcher at the gate", "byoa /private/*\n" + proxy, false},
		{"a matcher at the gate in a block for a path", "handle /a/* {\n byoa /a/private/*\n" + proxy + "}\n handle {" + proxy + "}", true},
		{"a matcher at another gate", "byoa /b/*\n handle /a/* {\n byoa\n" + proxy + "}\n handle {" + proxy + "}", false},
		{"a matcher at another gate that sets less", "byoa /b/*\n handle /a/* {\n byoa {\n claim_header X-User user_id\n }\n" + proxy + "}\n handle {" + proxy + "}", false},
		{"a named route for a path", "invoke /private/* guard\n" + proxy, true},
		{"a named route", "route {\n invoke guard\n" + proxy + "}", false},
		{"no gate", proxy, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := prepare(t)
			if strings.Contains(c.site, "invoke") {
				g.sites = "&(guard) {\n byoa\n}"
			}
			g.load(plainEnvironment, c.site)
			g.wantWarning(t, c.want)
		})
	}
}

// wantWarning looks for the warning of a gate that requests pass by, and for the name of the upstream in it.
func (g *running) wantWarning(t *testing.T, want bool) {
	t.Helper()
	log, err := os.ReadFile(g.logFile)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "past byoa") {
			found = append(found, line)
		}
	}
	switch {
	case !want && len(found) > 0:
		t.Errorf("warned without need: %s", found)
	case want && (len(found) != 1 || !strings.Contains(found[0], "server srv0: requests reach the upstream "+g.upstream.address)):
		t.Errorf("want one warning that names the server and the upstream, got %q", found)
	}
}

// In JSON the matcher of a gate is that of its route, and nothing is beside it unless somebody puts it there.
func TestGateInJSONThatRequestsPassByIsWarnedAbout(t *testing.T) {
	for _, c := range []struct {
		name string
		drop bool
	}{{"as the Caddyfile has it", false}, {"without what is beside it", true}} {
		t.Run(c.name, func(t *testing.T) {
			g := prepare(t)
			if c.drop {
				g.edit = func(config map[string]any) { dropBeside(t, config) }
			}
			g.load(plainEnvironment, "byoa /private/* {\n claim_header X-User-Id user_id\n }\n reverse_proxy {{upstream}}")
			g.wantWarning(t, c.drop)
			g.want(request{path: "/private/x"}, 401, "token_missing")
			g.want(request{path: "/public", header: map[string][]string{"X-User-Id": {"evil"}}}, 200, "")
			if arrived := g.upstream.last(t).Header.Get("X-User-Id") != ""; arrived != c.drop {
				t.Errorf("what the client says of itself arrived: %t", arrived)
			}
		})
	}
}

// dropBeside removes the handlers beside gates from a config, which must have some.
func dropBeside(t *testing.T, config any) {
	t.Helper()
	dropped := 0
	var within func(any)
	within = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, n := range node {
				within(n)
			}
		case map[string]any:
			if handlers, ok := node["handle"].([]any); ok {
				var kept []any
				for _, h := range handlers {
					if h.(map[string]any)["beside"] == true {
						dropped++
						continue
					}
					kept = append(kept, h)
				}
				node["handle"] = kept
			}
			for _, n := range node {
				within(n)
			}
		}
	}
	if within(config); dropped == 0 {
		t.Fatal("there is nothing beside the gate")
	}
}
