package caddymodule_test

import (
	"os"
	"strings"
	"testing"
)

// A guard that only reports lets everything on that byoa let on, nobody's requests too.
func TestReportOnlyTableRefusesNothing(t *testing.T) {
	for name, site := range map[string]string{
		"report_only": `byoa_api
	byoa {
		optional
	}
	step_up {
		GET /open -
		POST /export wallet:export
		/closed deny
		report_only
	}
	reverse_proxy {{upstream}}`,
		"the control without it": `byoa_api
	byoa {
		optional
	}
	step_up {
		GET /open -
		POST /export wallet:export
		/closed deny
	}
	reverse_proxy {{upstream}}`,
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, plainEnvironment, site)
			session := g.signIn("alice")
			for _, c := range []struct {
				r      request
				status int
				code   string // without report_only
			}{
				{request{path: "/open", bearer: session}, 200, ""},
				{request{path: "/open"}, 401, "token_missing"},
				{request{path: "/closed", bearer: session}, 403, "route_denied"},
				{request{path: "/closed"}, 401, "token_missing"},
				{request{path: "/unlisted", bearer: session}, 403, "route_denied"},
				{request{method: "POST", path: "/export", bearer: session}, 403, "step_up_required"},
				{request{method: "POST", path: "/export"}, 401, "token_missing"},
				{request{method: "POST", path: "/export", bearer: session, elevated: "garbage"}, 403, "elevated_invalid"},
				{request{method: "POST", path: "/export", bearer: session, assertion: "garbage"}, 401, "token_malformed"},
			} {
				before := g.upstream.count()
				if strings.Contains(site, "report_only") {
					c.status, c.code = 200, ""
				}
				g.want(c.r, c.status, c.code)
				if reached := g.upstream.count() - before; reached != map[bool]int{true: 1}[c.status == 200] {
					t.Errorf("%s %s: %d requests reached the upstream", c.r.method, c.r.path, reached)
				}
			}
		})
	}
}

// A bad token in a header is for byoa to refuse: report_only is about what step_up asks for.
func TestReportOnlyDoesNotLiftTheGate(t *testing.T) {
	g := start(t, plainEnvironment, `byoa
	step_up admin {
		report_only
	}
	reverse_proxy {{upstream}}`)
	g.want(request{path: "/"}, 401, "token_missing")
	g.want(request{path: "/", bearer: "garbage"}, 401, "token_malformed")
	g.want(request{path: "/", bearer: g.external("alice")}, 200, "")
}

// What would be refused shows in the log, with its code, and a token that serves is spent and handed on.
func TestReportOnlyTableLogsAndSpends(t *testing.T) {
	g := start(t, plainEnvironment, `byoa_api
	byoa {
		optional
	}
	step_up {
		POST /export wallet:export
		report_only
	}
	reverse_proxy {{upstream}}`)
	session := g.signIn("alice")
	elevated := g.elevate(session, "alice", "wallet:export")
	r := request{method: "POST", path: "/export", bearer: session, elevated: elevated}
	g.want(r, 200, "")
	if use := claimsOf(t, g.upstream.last(t).Header.Get("Authorization"))["token_use"]; use != "elevated" {
		t.Errorf("the upstream got a token for %v, want the elevated one", use)
	}
	g.want(r, 200, "")
	if use := claimsOf(t, g.upstream.last(t).Header.Get("Authorization"))["token_use"]; use != "session" {
		t.Errorf("the upstream got a token for %v, want the session: the elevated one is spent", use)
	}
	g.want(request{method: "POST", path: "/export"}, 200, "")
	g.want(request{path: "/elsewhere", bearer: session}, 200, "")
	log, err := os.ReadFile(g.logFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"elevated_used", "token_missing", "route_denied"} {
		if !strings.Contains(string(log), code) {
			t.Errorf("the log does not say that %s would have been the answer", code)
		}
	}
}
