package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// An sdkApp is a customer's: sdk/app.mjs, which stands on the client SDK as it is published.
type sdkApp struct {
	wire        *wire
	front       *front
	withCookies bool
	ask         func(t *testing.T, task claims) any
}

// A platform is where apps run. It is started once; opening an app on it closes the one before.
type platform struct {
	name   string
	ask    func(t *testing.T, task claims) any
	browse *browser // nil in Node.js
}

func onNode(t *testing.T) platform {
	t.Helper()
	return platform{name: "Node.js", ask: startDialogue(t, "sdk", "node.mjs").ask}
}

func onChromium(t *testing.T) platform {
	t.Helper()
	b := startBrowser(t)
	return platform{name: "Chromium", browse: b, ask: func(t *testing.T, task claims) any {
		t.Helper()
		text, err := json.Marshal(task)
		if err != nil {
			t.Fatal(err)
		}
		return b.evaluate(t, "run("+string(text)+")")
	}}
}

// app has the page of front loaded in Chromium, until the test ends; in Node.js there is none.
func (p platform) app(t *testing.T, front *front, w *wire, cookies bool) *sdkApp {
	t.Helper()
	if p.browse != nil {
		p.browse.do(t, claims{"do": "open", "url": front.origin, "origins": []string{w.url}})
		t.Cleanup(func() { p.browse.do(t, claims{"do": "open", "url": "about:blank"}) })
	}
	return &sdkApp{wire: w, front: front, withCookies: cookies, ask: p.ask}
}

// open initialises the SDK.
func (a *sdkApp) open(t *testing.T) { t.Helper(); a.do(t, a.opening()) }

// reload initialises the SDK again with what it has kept: of a page in Chromium, the page is reloaded.
func (a *sdkApp) reload(t *testing.T, p platform) {
	t.Helper()
	if p.browse != nil {
		p.browse.do(t, claims{"do": "reload"})
	}
	a.do(t, merged(a.opening(), claims{"kept": true}))
}

func (a *sdkApp) opening() claims {
	return claims{"do": "open", "api": a.wire.url, "environment": environmentID, "origin": a.front.origin, "cookies": a.withCookies}
}

// do has the app do something, and fails the test if the SDK throws.
func (a *sdkApp) do(t *testing.T, task claims) any {
	t.Helper()
	value, thrown := a.try(t, task)
	if thrown != nil {
		t.Fatalf("%v: the SDK throws %v", task["do"], thrown)
	}
	return value
}

// A thrown is an error of the SDK as an app sees it.
type thrown struct {
	Class, Code, Message string
	Status               int
	Cause                *thrown
}

func (e *thrown) String() string {
	if e == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s %d %s (%s) because of %v", e.Class, e.Status, e.Code, e.Message, e.Cause)
}

// try has the app do something, which may end in an error of the SDK.
func (a *sdkApp) try(t *testing.T, task claims) (any, *thrown) {
	t.Helper()
	var answer struct {
		Value  any
		Thrown *thrown
	}
	convert(t, a.ask(t, task), &answer)
	return answer.Value, answer.Thrown
}

// convert reads what came as any JSON into something that has a shape.
func convert(t *testing.T, from, to any) {
	t.Helper()
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mustThrow wants the SDK to throw an error of its own class, or of another's.
func (a *sdkApp) mustThrow(t *testing.T, task claims, class string, status int, code string) {
	t.Helper()
	if _, got := a.try(t, task); got == nil || got.Class != class || got.Status != status || got.Code != code {
		t.Fatalf("%v: the SDK throws %v, want %s %d %s", task["do"], got, class, status, code)
	}
}

// mustBeInvalid wants the error for a refused external JWT or assertion, and the gateway's reason on the wire.
func (a *sdkApp) mustBeInvalid(t *testing.T, task claims, reason string) {
	t.Helper()
	_, got := a.try(t, task)
	if got == nil || got.Class != "InvalidExternalAuthError" || got.Code != "invalid_external_auth_error" {
		t.Fatalf("%v: the SDK throws %v, want InvalidExternalAuthError", task["do"], got)
	}
	cause := got.Cause
	if cause == nil || cause.Class != "APIError" || cause.Status != http.StatusUnprocessableEntity || cause.Code != "invalid_external_auth" {
		t.Errorf("%v: its cause is %v, want APIError 422 invalid_external_auth", task["do"], cause)
	}
	if c := a.wire.last(t, http.MethodPost, endpointOf[task["do"].(string)]); c.text("reason") != reason {
		t.Errorf("%v: the gateway's reason is %q, want %s", task["do"], c.text("reason"), reason)
	}
}

// endpointOf is what the SDK calls to do something.
var endpointOf = map[string]string{
	"signIn": "/externalAuth/signin", "elevate": "/externalAuth/verify", "refresh": "/refresh", "refreshUser": "/users",
}

func (a *sdkApp) signIn(t *testing.T, external string) {
	t.Helper()
	a.do(t, claims{"do": "signIn", "jwt": external})
}

func (a *sdkApp) elevate(t *testing.T, assertion string) {
	t.Helper()
	a.do(t, claims{"do": "elevate", "jwt": assertion})
}

// take is the elevated token that the SDK keeps for a scope, or empty.
func (a *sdkApp) take(t *testing.T, scope string) string {
	t.Helper()
	token, _ := a.do(t, claims{"do": "take", "scope": scope}).(string)
	return token
}

// An sdkState is what the SDK tells an app.
type sdkState struct {
	SignedIn         bool
	Token            string
	SessionExpiresAt string
	User             sdkUser
	Settings         struct {
		Security struct{ ExternalAuth struct{ Enabled bool } }
	}
	Logged []string
}

type sdkUser struct {
	ID, Email           string
	VerifiedCredentials []struct{ ID, Format, PublicIdentifier string }
}

// external are the external ids of a user's identities.
func (u sdkUser) external() (ids []string) {
	for _, c := range u.VerifiedCredentials {
		if c.Format == "externalUser" {
			ids = append(ids, c.PublicIdentifier)
		}
	}
	return ids
}

func (a *sdkApp) state(t *testing.T) (s sdkState) {
	t.Helper()
	convert(t, a.do(t, claims{"do": "state"}), &s)
	return s
}

// request calls the customer's API behind the gateway as the app would, and wants a status and, of a refusal, a code.
func (a *sdkApp) request(t *testing.T, method, path, elevated string, status int, code string) {
	t.Helper()
	var got struct {
		Status int
		Code   string
	}
	before := len(a.wire.gateway.upstream.all())
	convert(t, a.do(t, claims{"do": "request", "method": method, "path": path, "elevated": elevated}), &got)
	if got.Status != status || got.Code != code {
		t.Fatalf("%s %s: got %d %s, want %d %s", method, path, got.Status, got.Code, status, code)
	}
	reached := a.wire.gateway.upstream.all()[before:]
	if (len(reached) == 1) != (status == http.StatusOK) {
		t.Errorf("%s %s: got %d, and %d requests reached the upstream", method, path, status, len(reached))
	}
	for _, r := range reached {
		if cookies := strings.Join(r.header["Cookie"], "; "); strings.Contains(cookies, "=ey") {
			t.Errorf("%s %s: a token reached the upstream in a cookie", method, path)
		}
	}
}
