package caddymodule_test

import (
	"net/http"
	"slices"
	"testing"
)

// What is taken away beside one gate is not lost for another: whoever has a good proof would be
// refused on a route that has nothing to do with the first gate.
func TestGateFindsItsProofBesideAnother(t *testing.T) {
	const guarded = "step_up wallet:export\n reverse_proxy {{upstream}}"
	for name, site := range map[string]string{
		"no other gate":                  "byoa\n" + guarded,
		"a gate in a block":              "byoa /x/*\n handle /y/* {\n byoa\n" + guarded + "\n}",
		"a gate without a matcher":       "byoa /x/* {\n claim_header X-A user_id\n}\n byoa\n" + guarded,
		"two gates with a matcher":       "route {\n byoa /x/*\n byoa /y/*\n" + guarded + "\n}",
		"a gate that sets what it reads": "byoa /x/* {\n token_header X-Jwt\n}\n handle /y/* {\n byoa\n" + guarded + "\n}",
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, "environment {\n {{environment}}\n header X-Jwt\n}", site)
			external := g.external("alice")
			r := request{path: "/y/1", header: http.Header{"X-Jwt": {external}}, assertion: g.assertion("alice", "wallet:export")}
			if res := g.do(r); res.status != 200 {
				t.Fatalf("with a good proof: %d %s", res.status, res.raw)
			}
			if got := g.upstream.last(t).Header; got.Get("X-Step-Up-Assertion") != "" || claimsOf(t, got.Get("Authorization"))["token_use"] != "elevated" {
				t.Errorf("the upstream got %q", got)
			}
			if res := g.do(request{path: "/y/1", header: r.header}); res.code != "step_up_required" {
				t.Errorf("without a proof: %d %s", res.status, res.raw)
			}
		})
	}
}

// A request that is refused beside a gate goes to the error routes, which often ask the same upstream.
func TestClientCannotSayWhoItIsToTheErrorPageBesideTheGate(t *testing.T) {
	g := start(t, plainEnvironment, `
	byoa /private/* {
		claim_header X-User-Id user_id
		pass_errors
	}
	reverse_proxy {{upstream}}
	handle_errors {
		reverse_proxy {{upstream}}
	}`)
	forged := http.Header{"X-User-Id": {"evil"}, "X-Original-Url": {"/x"}, "X-Honest": {"yes"}}
	for _, path := range []string{"/public%5cb", "/private/a%5cb"} {
		before := g.upstream.count()
		g.raw("GET " + path + " HTTP/1.1\r\nHost: " + g.address + "\r\nX-User-Id: evil\r\nX-Original-Url: /x\r\nX-Honest: yes\r\nConnection: close\r\n\r\n")
		if g.upstream.count() != before+1 {
			t.Fatalf("%s: the error page was not asked for", path)
		}
		got := g.upstream.last(t).Header
		for name := range forged {
			if arrived := got.Get(name) != ""; arrived != (name == "X-Honest") {
				t.Errorf("%s: %s is %q", path, name, got[name])
			}
		}
	}
}

// A path matcher takes an encoded ? or # for a part of the name; an upstream may take it for the end
// of the path.
func TestEncodedHashDoesNotPassBesideTheGate(t *testing.T) {
	g := start(t, plainEnvironment, `
	@admin path /admin /admin/*
	byoa @admin
	reverse_proxy {{upstream}}`)
	for path, want := range map[string]int{
		"/admin": 401, "/admin%23": 400, "/admin%3F": 400, "/admin%3Fx=y": 400, "/public%23": 400, "/public%24": 200, "/admins": 200, "/public?x=%23": 200,
	} {
		if res := g.do(request{path: path}); res.status != want {
			t.Errorf("%s: %d %s, want %d", path, res.status, res.raw, want)
		}
	}
}

// Two environments before one upstream: a user of the one says who it is to the gate of the other.
func TestClientCannotSayWhoItIsByWayOfAnotherEnvironment(t *testing.T) {
	g := prepare(t)
	second := "environment second {\n issuer https://second.example.com\n jwks_file " + writeJWKS(t, g.issuer) + "\n store memory\n}"
	g.load(plainEnvironment+"\n"+second, `
	handle /a/* {
		byoa default {
			claim_header X-User-Id user_id
		}
		reverse_proxy {{upstream}}
	}
	handle {
		byoa second {
			optional
		}
		reverse_proxy {{upstream}}
	}`)
	g.want(request{path: "/b/1", header: http.Header{"X-User-Id": {"evil"}, "X-User-Ix": {"honest"}}}, 200, "")
	if got := g.upstream.last(t).Header; got.Get("X-User-Id") != "" || got.Get("X-User-Ix") == "" {
		t.Errorf("the upstream got X-User-Id %q and X-User-Ix %q", got["X-User-Id"], got["X-User-Ix"])
	}
}

// The elevated token belongs into the header that a gate has for it, whether or not another gate stands behind that one.
func TestElevatedTokenIsWhereEachGateWantsIt(t *testing.T) {
	g := start(t, plainEnvironment, `
	route {
		byoa {
			elevated_header X-Elevated
		}
		byoa {
			elevated_header X-Elevated
			claim_header X-User-Id user_id
		}
		byoa {
			token_header X-Session
			elevated_header X-Proof
		}
		step_up wallet:export
		reverse_proxy {{upstream}}
	}`)
	g.want(request{path: "/1", bearer: g.external("alice"), assertion: g.assertion("alice", "wallet:export")}, 200, "")
	got := g.upstream.last(t).Header
	for name, use := range map[string]string{"Authorization": "session", "X-Session": "session", "X-Elevated": "elevated", "X-Proof": "elevated"} {
		if claims := claimsOf(t, got.Get(name)); claims["token_use"] != use {
			t.Errorf("%s holds a token for %v, want %s", name, claims["token_use"], use)
		}
	}
	for _, name := range []string{"Authorization", "X-Session", "X-Elevated", "X-Proof", "X-User-Id"} {
		if len(got[name]) != 1 { // the step-up sets them all again
			t.Errorf("%s came %d times", name, len(got[name]))
		}
	}
}

// A gate whose matcher leaves a request out takes away what only gates may set, but for what they have set:
// each of them, and not the last one alone, or the upstream would no longer know who asks.
func TestWhatTwoGatesHaveSetIsLeftBesideAThird(t *testing.T) {
	g := start(t, plainEnvironment, `route {
		byoa {
			claim_header X-First external_id
		}
		byoa {
			claim_header X-Second external_id
		}
		byoa /other/* {
			claim_header X-Third external_id
		}
		reverse_proxy {{upstream}}
	}`)
	evil := http.Header{"X-First": {"evil"}, "X-Second": {"evil"}, "X-Third": {"evil"}}
	g.want(request{path: "/1", bearer: g.external("alice"), header: evil}, 200, "")
	got := g.upstream.last(t).Header
	for name, want := range map[string][]string{"X-First": {"alice"}, "X-Second": {"alice"}, "X-Third": nil} {
		if !slices.Equal(got[name], want) {
			t.Errorf("the upstream got %s %q, want %q", name, got[name], want)
		}
	}
}

// Between two gates an operator may have somebody else say who asks. What the client said there, taken away
// beside the first gate, is not put back in its place.
func TestWhatIsSetBetweenTwoGatesIsNotTheClients(t *testing.T) {
	g := prepare(t)
	alice, mallory := g.external("alice"), g.external("mallory")
	g.load("environment {\n {{environment}}\n header X-Jwt\n}", `route {
		byoa /x/* {
			token_header X-Jwt
		}
		request_header /kiosk X-Jwt `+alice+`
		byoa {
			claim_header X-User-Id external_id
		}
		reverse_proxy {{upstream}}
	}`)
	for path, want := range map[string]string{"/kiosk": "alice", "/elsewhere": "mallory"} {
		g.want(request{path: path, header: http.Header{"X-Jwt": {mallory}}}, 200, "")
		if got := g.upstream.last(t).Header["X-User-Id"]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s: the upstream got %q, want %s", path, got, want)
		}
	}
}
