package caddymodule_test

import (
	"net/http"
	"strings"
	"testing"
)

// Two gates before one upstream, of which one sets a header: the upstream believes it, whichever
// gate a request has come by.
func TestClientCannotSayWhoItIsByWayOfAnotherGate(t *testing.T) {
	g := start(t, plainEnvironment, `
	handle /news/* {
		byoa {
			optional
			token_header X-Session
		}
		reverse_proxy {{upstream}}
	}
	handle {
		byoa {
			claim_header X-User-Id user_id
			elevated_header X-Elevated
		}
		reverse_proxy {{upstream}}
	}`)
	forged := http.Header{
		"X-User-Id": {"evil"}, "X-User-Ix": {"honest"}, "X-Elevated": {"evil"}, "X-Elevatex": {"honest"},
		"Authorization": {"Basic YWxpY2U6"}, // which the gate of /news/* neither reads nor sets
	}
	g.want(request{path: "/news/1", header: forged}, 200, "")
	got := g.upstream.last(t).Header
	for name := range forged {
		arrived := got.Get(name) != ""
		if managed := name == "X-User-Id" || name == "X-Elevated"; arrived == managed {
			t.Errorf("%s: %q arrived", name, got[name])
		}
	}
	g.want(request{path: "/wallets/1", bearer: g.external("alice"), header: http.Header{"X-User-Id": {"evil"}}}, 200, "")
	if got := g.upstream.last(t).Header["X-User-Id"]; len(got) != 1 || got[0] == "evil" {
		t.Errorf("the gate that sets the header has set %q", got)
	}
}

// The last of three gates takes away what the first has set, and so has to set it again.
func TestGatesOnOneRouteLeaveEachOthersHeaders(t *testing.T) {
	g := start(t, plainEnvironment, `
	route {
		byoa {
			claim_header X-First user_id
		}
		byoa {
			claim_header X-Second external_id
		}
		byoa {
			claim_header X-Third session
		}
		reverse_proxy {{upstream}}
	}`)
	forged := http.Header{"X-First": {"evil"}, "X-Second": {"evil"}, "X-Third": {"evil"}}
	g.want(request{path: "/1", bearer: g.external("alice"), header: forged}, 200, "")
	for name := range forged {
		if got := g.upstream.last(t).Header[name]; len(got) != 1 || got[0] == "evil" {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// What one gate passes on, a gate elsewhere in the config would take away, and nobody would know why.
func TestKeptHeaderIsNotTakenAwayByAnotherGate(t *testing.T) {
	for header, want := range map[string]bool{"X-Jwt": false, "x_jwt": false, "X-Other": true} {
		for _, sites := range []string{
			"handle /a/* {\n byoa {\n token_header " + header + "\n }\n}\n handle {\n byoa {\n token_header X-Session\n keep_external\n }\n reverse_proxy {{upstream}}\n}",
			"handle /a/* {\n byoa {\n token_header X-Session\n keep_external\n }\n reverse_proxy {{upstream}}\n}\n handle {\n byoa {\n token_header " + header + "\n }\n}",
		} {
			g := prepare(t)
			err := g.tryLoad("environment {\n {{environment}}\n header X-Jwt\n}", sites)
			if want != (err == nil) {
				t.Errorf("a token in %s: %v", header, err)
			}
			if err != nil && !strings.Contains(err.Error(), "X-Jwt: one byoa handler of the config passes the external JWT on in it") {
				t.Errorf("a token in %s: %v", header, err)
			}
		}
	}
}

// The query parameter that one gate passes on is not for a gate behind it to take away; one that none
// passes on does not arrive, whatever else is kept.
func TestQueryTokenIsKeptByTheGateThatReadsItThereAlone(t *testing.T) {
	const keeps, reads, neither = "byoa {\n token_header X-Session\n keep_external\n", "byoa {\n token_header X-Session\n", "}\n"
	const query = "allow_query tok\n}\n"
	for name, c := range map[string]struct {
		gates   string
		arrives bool
	}{
		"kept":                           {keeps + query, true},
		"kept by the first of three":     {keeps + query + reads + neither + reads + query, true},
		"not kept":                       {reads + query, false},
		"the header kept, not the query": {keeps + neither + reads + query, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, plainEnvironment, "route {\n"+c.gates+"reverse_proxy {{upstream}}\n}")
			r := request{path: "/1?a=b&tok=" + g.external("alice")}
			if !c.arrives && name != "not kept" {
				r.bearer = g.external("alice")
			}
			g.want(r, 200, "")
			got := g.upstream.last(t).URL.Query()
			if arrived := got.Has("tok"); arrived != c.arrives || got.Get("a") != "b" {
				t.Errorf("the parameter arrived: %t, want %t; a is %q", arrived, c.arrives, got.Get("a"))
			}
		})
	}
}

// Where a gate is optional, a Basic of the client's is no credential, and nobody's request goes on with it
// in the very header in which the upstream expects the gate's token.
func TestAuthorizationOfNobodyDoesNotArriveWhereAGateSetsIt(t *testing.T) {
	for name, c := range map[string]struct {
		site    string
		arrives bool
	}{
		"a gate that sets it":           {"byoa {\n optional\n }\n reverse_proxy {{upstream}}", false},
		"behind one that sets another":  {"route {\n byoa {\n optional\n token_header X-Session\n }\n byoa {\n optional\n }\n reverse_proxy {{upstream}}\n }", false},
		"control: no gate that sets it": {"byoa {\n optional\n token_header X-Session\n }\n reverse_proxy {{upstream}}", true},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, plainEnvironment, c.site)
			g.want(request{path: "/", header: http.Header{"Authorization": {"Basic cm9vdDo="}}}, 200, "")
			if got := g.upstream.last(t).Header["Authorization"]; len(got) > 0 != c.arrives {
				t.Errorf("the upstream got Authorization %q", got)
			}
			g.want(request{path: "/", bearer: g.external("alice")}, 200, "")
			if got := g.upstream.last(t).Header["Authorization"]; len(got) > 0 == c.arrives {
				t.Errorf("somebody's request has Authorization %q", got)
			}
		})
	}
}
