package caddymodule_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestOptional(t *testing.T) {
	g := start(t, `environment {
			{{environment}}
			cookie_name ext
		}`, `byoa {
		optional
	}
	step_up /admin admin
	reverse_proxy {{upstream}}`)
	for _, r := range []request{{path: "/"}, {path: "/", cookie: "ext=garbage"}} {
		g.want(r, 200, "")
		if got := g.upstream.last(t).Header.Get("Authorization"); got != "" {
			t.Errorf("somebody's token for nobody: %q", got)
		}
	}
	g.want(request{path: "/", bearer: "garbage"}, 401, "token_malformed")
	g.want(request{path: "/", bearer: g.external("alice")}, 200, "")
	g.want(request{path: "/admin"}, 401, "token_missing")
	g.want(request{path: "/admin", bearer: g.external("alice")}, 403, "step_up_required")
}

func TestClaimHeadersAndPlaceholders(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		token_header X-Session
		claim_header X-User user_id
		claim_header X-External external_id
		claim_header X-Sid session
		claim_header X-Name name
		claim_header X-Level profile.level
		claim_header X-Absent absent
		claim_header X-Split evil
		claim_header X-Umlaut umlaut
		claim_header X-Long long
		claim_header X-List list
		claim_header X-Expand expand
	}
	header >X-Seen "{http.auth.user.external_id} {byoa.claims.profile.level} {byoa.claims.expand}"
	reverse_proxy {{upstream}}`)
	claims := map[string]any{
		"name": "Alice A", "profile": map[string]any{"level": 3}, "evil": "a\r\nX-Evil: 1", "umlaut": "ä",
		"long": strings.Repeat("x", 64<<10/8), "list": []string{"a"}, "expand": "{env.PATH}",
	}
	for _, bearer := range []string{g.external("alice", claims)} {
		got := g.want(request{path: "/", bearer: bearer}, 200, "")
		h := g.upstream.last(t).Header
		session := claimsOf(t, h.Get("X-Session"))
		for name, want := range map[string]string{
			"X-User": fmt.Sprint(session["sub"]), "X-External": "alice", "X-Sid": fmt.Sprint(session["sid"]),
			"X-Name": "Alice A", "X-Level": "3", "X-Expand": "{env.PATH}",
			"X-Absent": "", "X-Split": "", "X-Evil": "", "X-Umlaut": "", "X-Long": "", "X-List": "", "Authorization": "",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, h.Get(name), want)
			}
		}
		if seen := got.header.Get("X-Seen"); seen != "alice 3 {env.PATH}" {
			t.Errorf("placeholders %q", seen)
		}
	}
}

// What the external JWT said is not forgotten when the client goes on with the session token.
func TestClaimHeadersWithASessionToken(t *testing.T) {
	g := start(t, plainEnvironment, `byoa_api
	byoa {
		claim_header X-External external_id
		claim_header X-Aud aud
	}
	reverse_proxy {{upstream}}`)
	g.want(request{path: "/", bearer: g.signIn("alice")}, 200, "")
	if h := g.upstream.last(t).Header; h.Get("X-External") != "alice" || h.Get("X-Aud") != audience {
		t.Errorf("headers %v", h)
	}
}

func TestElevatedHeaderLeavesTheSession(t *testing.T) {
	g := start(t, plainEnvironment, `byoa_api
	byoa {
		elevated_header X-Elevated
	}
	step_up wallet:export
	reverse_proxy {{upstream}}`)
	session := g.signIn("alice")
	g.want(request{path: "/", bearer: session, elevated: g.elevate(session, "alice", "wallet:export")}, 200, "")
	h := g.upstream.last(t).Header
	if claimsOf(t, h.Get("Authorization"))["token_use"] != "session" || claimsOf(t, h.Get("X-Elevated"))["token_use"] != "elevated" {
		t.Errorf("headers %v", h)
	}
}

func TestKeepExternal(t *testing.T) {
	g := start(t, `environment {
			{{environment}}
			cookie_name ext
		}`, `byoa {
		keep_external
		token_header X-Session
	}
	reverse_proxy {{upstream}}`)
	external := g.external("alice")
	g.want(request{path: "/", bearer: external}, 200, "")
	if got := g.upstream.last(t).Header.Get("Authorization"); got != "Bearer "+external {
		t.Errorf("Authorization %q", got)
	}
	session := g.upstream.last(t).Header.Get("X-Session")
	g.want(request{path: "/", cookie: "ext=" + external}, 200, "")
	if got := g.upstream.last(t).Header.Get("Cookie"); got != "ext="+external {
		t.Errorf("Cookie %q", got)
	}
	g.want(request{path: "/", bearer: session}, 200, "")
	if got := g.upstream.last(t).Header.Get("Authorization"); got != "" {
		t.Errorf("a session token is no external JWT, and was passed on as one: %q", got)
	}
}

func TestAllowQuery(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		allow_query token
	}
	reverse_proxy {{upstream}}`)
	external := g.external("alice")
	g.want(request{path: "/x?a=%201&token=" + external + "&b=2"}, 200, "")
	if got := g.upstream.last(t).URL.RawQuery; got != "a=%201&b=2" {
		t.Errorf("the upstream got the query %q", got)
	}
	g.want(request{path: "/x?token=" + external + "&token=" + external}, 400, "bad_request")
	g.want(request{path: "/x?other=token"}, 401, "token_missing")
}

func TestAllowPath(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		allow_path encoded_slash
	}
	reverse_proxy {{upstream}}`)
	external := g.external("alice")
	g.want(request{path: "/a%2fb", bearer: external}, 200, "")
	if got := g.upstream.last(t).URL.EscapedPath(); got != "/a%2fb" {
		t.Errorf("the upstream got %q", got)
	}
	g.want(request{path: "/a%5cb", bearer: external}, 400, "ambiguous_path")
}
