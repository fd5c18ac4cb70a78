package caddymodule_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// An input is what somebody may send to an endpoint instead of what belongs there.
type input struct {
	name   string
	r      request
	status int
	code   string
}

// badBodies are none of the JSON objects that an endpoint with a member of this name reads.
func badBodies(member string) []input {
	typed := func(contentType ...string) http.Header { return http.Header{"Content-Type": contentType} }
	good := `{"` + member + `":"x"}`
	bad := func(name, body string, header http.Header) input {
		return input{name, request{body: body, header: header}, 400, "bad_request"}
	}
	return []input{
		bad("no body", "", typed("application/json")),
		bad("no JSON", "jwt=x", nil),
		bad("half a JSON", good[:len(good)-1], nil),
		bad("more than a JSON", good+good, nil),
		bad("an array", `["x"]`, nil),
		bad("a text", `"x"`, nil),
		bad("null", "null", nil),
		bad("a number for a text", `{"`+member+`":1}`, nil),
		bad("an object for a text", `{"`+member+`":{}}`, nil),
		bad("an array for a text", `{"`+member+`":["x"]}`, nil),
		bad("a member twice", `{"`+member+`":"x","`+member+`":"y"}`, nil),
		bad("no UTF-8", `{"`+member+"\":\"\xff\"}", nil),
		bad("more than 64 KiB", `{"`+member+`":"`+strings.Repeat("x", 64<<10)+`"}`, nil),
		bad("much more than 64 KiB", `{"`+member+`":"`+strings.Repeat("x", 300<<10)+`"}`, nil),
		bad("a form", good, typed("application/x-www-form-urlencoded")),
		bad("text, which a page may send without asking", good, typed("text/plain")),
		bad("no type", good, typed()),
		bad("a type that is none", good, typed("application")),
	}
}

// badInputs are what an endpoint refuses, whoever sends it.
func badInputs(session string) []input {
	var all []input
	for endpoint, member := range map[string]string{"/externalAuth/signin": "jwt", "/externalAuth/verify": "jwt", "/stepUp/check": "scope"} {
		for _, in := range badBodies(member) {
			in.name, in.r.method, in.r.path, in.r.bearer = endpoint+": "+in.name, "POST", endpoints+endpoint, session
			all = append(all, in)
		}
	}
	for endpoint, method := range map[string]string{
		"/externalAuth/signin": "POST", "/externalAuth/verify": "POST", "/stepUp/check": "POST", "/refresh": "POST", "/revoke": "POST", "/sdkSettings": "POST",
		"/users": "GET", "/settings": "GET", "/nonces": "GET", "/nonce": "GET", "/.well-known/jwks": "GET", "/.well-known/jwks.json": "GET",
	} {
		for _, other := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", strings.ToLower(method)} {
			if other != method {
				all = append(all, input{endpoint + ": " + other, request{method: other, path: endpoints + endpoint, bearer: session}, 405, "method_not_allowed"})
			}
		}
		all = append(all,
			input{endpoint + ": another environment", request{method: method, path: "/api/v0/sdk/" + unknownID + endpoint, bearer: session}, 404, "not_found"},
			input{endpoint + ": a slash too many", request{method: method, path: endpoints + endpoint + "/", bearer: session}, 404, "not_found"},
			input{endpoint + ": upper case", request{method: method, path: endpoints + strings.ToUpper(endpoint), bearer: session}, 404, "not_found"},
			input{endpoint + ": a path within", request{method: method, path: endpoints + endpoint + "/x", bearer: session}, 404, "not_found"})
	}
	for _, endpoint := range []string{"/externalAuth/verify", "/stepUp/check", "/refresh", "/revoke"} {
		all = append(all, input{endpoint + ": no session", request{method: "POST", path: endpoints + endpoint, body: `{"jwt":"x","scope":"x"}`}, 401, "token_missing"})
	}
	return append(all,
		input{"sign-in without a JWT", request{method: "POST", path: signInPath, body: "{}"}, 422, "invalid_external_auth"},
		input{"sign-in with an empty JWT", request{method: "POST", path: signInPath, body: `{"jwt":""}`}, 422, "invalid_external_auth"},
		input{"sign-in with no JWT at all", request{method: "POST", path: signInPath, body: `{"jwt":"x"}`}, 422, "invalid_external_auth"},
		input{"sign-in with a session token", request{method: "POST", path: signInPath, body: `{"jwt":"` + session + `"}`}, 422, "invalid_external_auth"},
		input{"a check of no scope", request{method: "POST", path: endpoints + "/stepUp/check", bearer: session, body: `{"scope":""}`}, 400, "bad_request"},
		input{"a check of a scope with a quote", request{method: "POST", path: endpoints + "/stepUp/check", bearer: session, body: `{"scope":"a\"b"}`}, 400, "bad_request"},
		input{"no nonces", request{method: "GET", path: endpoints + "/nonces?count=0"}, 400, "bad_request"},
		input{"fewer nonces than none", request{method: "GET", path: endpoints + "/nonces?count=-1"}, 400, "bad_request"},
		input{"nonces in words", request{method: "GET", path: endpoints + "/nonces?count=five"}, 400, "bad_request"},
		input{"two numbers of nonces", request{method: "GET", path: endpoints + "/nonces?count=1&count=2"}, 400, "bad_request"},
		input{"nonces in a query that is none", request{method: "GET", path: endpoints + "/nonces?count=%zz"}, 400, "bad_request"},
		input{"two numbers of nonces, by a semicolon", request{method: "GET", path: endpoints + "/nonces?count=1;count=2"}, 400, "bad_request"},
		input{"two sessions", request{method: "GET", path: endpoints + "/users", header: http.Header{"Authorization": {"Bearer " + session, "Bearer " + session}}}, 400, "bad_request"},
		input{"a session of another scheme", request{method: "GET", path: endpoints + "/users", header: http.Header{"Authorization": {"Token Bearer " + session}}}, 401, "token_missing"},
		input{"two sessions at sign-in", request{method: "POST", path: signInPath, body: `{"jwt":"x"}`, header: http.Header{"Authorization": {"Bearer " + session, "Bearer " + session}}}, 400, "bad_request"},
	)
}

// The SDKs go by the code of an error and show its words; an answer of another shape
// leaves an app with an exception that says nothing. And nothing that is refused leaves a trace.
func TestBadInputIsAnsweredInTheSDKsShape(t *testing.T) {
	g := start(t, sdkEnvironment, plainSite)
	session := g.signIn("bob")
	inputs := badInputs(session)
	slices.SortFunc(inputs, func(a, b input) int { return strings.Compare(a.name, b.name) })
	for _, in := range inputs {
		t.Run(in.name, func(t *testing.T) {
			for origin, reader := range map[string]string{pageOrigin: pageOrigin, strangerOrigin: ""} {
				got := g.want(from(origin, in.r), in.status, in.code)
				g.wantReadable(in.r, got, reader)
				if words, ok := got.body["error"].(string); !ok || words == "" || got.header.Get("Content-Type") != "application/json" {
					t.Errorf("%s as %q, want words for people, in JSON", got.raw, got.header.Get("Content-Type"))
				}
				if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Set-Cookie") != "" {
					t.Errorf("Cache-Control %q and Set-Cookie %q, want no-store and none", got.header.Get("Cache-Control"), got.header.Get("Set-Cookie"))
				}
			}
		})
	}
	if n := g.upstream.count(); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
	s := newSDK(g)
	s.token = session
	if user := s.call(s.get("/users"), 200, "").body; user["newUser"] != false || !slices.Equal(identitiesOf(t, user), []string{"bob"}) {
		t.Errorf("bob is %v, want as before", user)
	}
}

// Who was refused has not been here: an app would not greet them, nor count them.
func TestRefusedSignInsAreNoVisits(t *testing.T) {
	g := start(t, sdkEnvironment, plainSite)
	s := newSDK(g)
	for reason, claims := range map[string]map[string]any{
		"expired":           {"exp": 1},
		"not_yet_valid":     {"nbf": 1 << 40},
		"audience_mismatch": {"aud": "https://other.example"},
		"issuer_mismatch":   {"iss": "https://other.example"},
		"expiry_missing":    {"exp": nil},
	} {
		s.refuseSignIn(g.external("alice", claims), reason)
	}
	spent := g.external("alice", map[string]any{"jti": "spent"})
	g.want(request{method: "POST", path: endpoints + "/revoke", bearer: spent}, 204, "")
	s.refuseSignIn(spent, "session_revoked")
	if user := userOf(t, s.signedIn(g.external("alice"))); user["newUser"] != true || user["firstVisit"] != user["lastVisit"] {
		t.Errorf("alice is %v, want a new user", user)
	}
}
