package caddymodule_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A decided is a request that the gateway decides on, with another one that differs from it
// in one honest thing, and so must be decided differently.
type decided struct {
	name          string
	asks          wireRequest
	asksElsewhere wireRequest
}

const (
	forwardedEnvironment = `environment {
			{{environment}}
			cookie_name ext
			cors https://app.example.com
		}`
	evilOrigin = "https://evil.example"
)

// decidedRequests are requests of every kind that there is an answer to.
func (g *running) decidedRequests() []decided {
	g.t.Helper()
	const api = "/api/v0/sdk/" + environmentID
	alice, bob, stranger := g.external("alice"), g.external("bob"), g.external("alice", map[string]any{"iss": evilOrigin})
	session := g.signInOnTheWire(alice)
	bearer := func(token string) [2]string { return [2]string{"Authorization", "Bearer " + token} }
	json := [2]string{"Content-Type", "application/json"}
	ask := func(method, target string, lines ...[2]string) wireRequest {
		return wireRequest{method: method, target: target, lines: lines}
	}
	signIn := func(jwt string) wireRequest {
		r := ask("POST", api+"/externalAuth/signin", json)
		r.body = `{"jwt":"` + jwt + `"}`
		return r
	}
	fromPage := func(origin string) wireRequest {
		return ask("POST", "/open/x", [2]string{"Cookie", "ext=" + alice}, [2]string{"Origin", origin})
	}
	return []decided{
		{"let on", ask("GET", "/wallets/1", bearer(alice)), ask("GET", "/wallets/2", bearer(alice))},
		{"without a token", ask("GET", "/open/x"), ask("GET", "/open/x", bearer(alice))},
		{"of another issuer", ask("GET", "/wallets/1", bearer(stranger)), ask("GET", "/wallets/1", bearer(alice))},
		{"without a step-up", ask("POST", "/wallets/1/export", bearer(alice)), ask("POST", "/wallets/1/sign", bearer(alice))},
		{"of another method", ask("DELETE", "/wallets/1", bearer(alice)), ask("GET", "/wallets/1", bearer(alice))},
		{"for nobody", ask("GET", "/closed", bearer(alice)), ask("GET", "/open/x", bearer(alice))},
		{"of a page of another origin", fromPage(evilOrigin), fromPage("https://app.example.com")},
		{"with an ambiguous path", ask("GET", "/open/..%2fclosed", bearer(alice)), ask("GET", "/open/closed", bearer(alice))},
		{"signing in", signIn(alice), signIn(bob)},
		{"signing in with a bad JWT", signIn(stranger), signIn(alice)},
		{"for the settings", ask("GET", api+"/settings"), ask("GET", strings.Replace(api, "9", "8", 1)+"/settings")},
		{"for the keys", ask("GET", api+"/.well-known/jwks"), ask("GET", api+"/.well-known/none")},
		{"for the user", ask("GET", api+"/users", bearer(session)), ask("GET", api+"/users")},
		{"refreshing nothing", ask("POST", api+"/refresh", json), ask("POST", api+"/refresh", json, bearer(session))},
	}
}

// signInOnTheWire is [running.signInWith] for a site of TLS.
func (g *running) signInOnTheWire(external string) (session string) {
	g.t.Helper()
	conn, err := (&wirePool{g: g, dial: dialHTTP1}).take()
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	got, _, err := conn.roundTrip(wireRequest{
		method: "POST", target: "/api/v0/sdk/" + environmentID + "/externalAuth/signin",
		lines: [][2]string{{"Content-Type", "application/json"}}, body: `{"jwt":"` + external + `"}`,
	})
	if session = tokenShape.FindString(got.body); err != nil || got.status != 200 || session == "" {
		g.t.Fatalf("signing in: %d %v", got.status, err)
	}
	return g.secret(session)
}

// A consequence is what a request led to, but for what is new each time: dates, sessions,
// and of a token when it was made and its name.
type consequence struct {
	answer   string
	upstream string // what reached it; empty: nothing did
}

// whatCameOf sends a request. Of what reaches the upstream the headers in unlike are left out.
func (g *running) whatCameOf(t *testing.T, send func(wireRequest) wireAnswer, r wireRequest, unlike ...string) consequence {
	t.Helper()
	before := g.upstream.count()
	got := send(r)
	out := consequence{answer: steady(t, fmt.Sprintf("%d\n%s\n%s", got.status, headerLines(got.header, "Date"), got.body))}
	switch g.upstream.count() - before {
	case 0:
	case 1:
		seen := g.upstream.last(t)
		out.upstream = steady(t, fmt.Sprintf("%s %s\n%s", seen.Method, seen.RequestURI, headerLines(seen.Header, unlike...)))
	default:
		t.Errorf("%s %s reached the upstream more than once", r.method, r.target)
	}
	return out
}

// headerLines are in an order of their own.
func headerLines(h http.Header, without ...string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if !slices.ContainsFunc(without, func(w string) bool { return strings.EqualFold(w, name) }) {
			fmt.Fprintf(&b, "%s: %q\n", name, h[name])
		}
	}
	return b.String()
}

var (
	tokenShape = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`)
	freshShape = regexp.MustCompile(`"(expiresAt|lastVisit|sessionId)":("[^"]*"|[0-9]+)`)
	lengthLine = regexp.MustCompile(`Content-Length: \["[0-9]+"\]`)
)

// steady is text with the claims of each token instead of the token, and without what is new each time.
func steady(t *testing.T, text string) string {
	t.Helper()
	text = tokenShape.ReplaceAllStringFunc(text, func(token string) string {
		claims := claimsOf(t, token)
		for _, fresh := range []string{"iat", "jti", "sid"} {
			delete(claims, fresh)
		}
		return strconv.Quote(fmt.Sprint(claims))
	})
	return lengthLine.ReplaceAllString(freshShape.ReplaceAllString(text, `"$1":…`), "Content-Length: some")
}

// wantSame fails the test unless two outcomes are one to the byte.
func wantSame(t *testing.T, what string, got, plain consequence) {
	t.Helper()
	if got.answer != plain.answer {
		t.Errorf("%s: the answer is\n%s\nwithout it\n%s", what, got.answer, plain.answer)
	}
	if got.upstream != plain.upstream {
		t.Errorf("%s: the upstream got\n%s\nwithout it\n%s", what, got.upstream, plain.upstream)
	}
}

// hostOf is the host of an origin.
func hostOf(t *testing.T, origin string) string {
	t.Helper()
	u, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}
