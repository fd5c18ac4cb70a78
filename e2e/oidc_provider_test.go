package e2e_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// What the app is to the provider.
const (
	appID       = "app"
	appCallback = "https://app.example.test/callback"
)

// A provider is a company's OpenID provider, oidc/provider.mjs, with the backend that
// holds its keys and signs assertions for its users.
type provider struct {
	*issuer // the backend
	node    *node
	name    string // its issuer
}

func startProvider(t testing.TB, s *secrets) *provider {
	t.Helper()
	n := startNode(t, "oidc", "provider.mjs")
	return &provider{issuer: &issuer{url: n.url + "/backend", secrets: s}, node: n, name: n.url}
}

// trust is lines of an environment that takes the provider's tokens for our audience, and
// is told no more of the provider than who it is.
func (p *provider) trust() string { return trust(p.name, "discovery on") }

// gateway starts one that trusts the provider.
func (p *provider) gateway(t testing.TB, c config) *gateway {
	t.Helper()
	if c.Trust == "" {
		c.Trust = p.trust()
	}
	return startGatewayFor(t, p.issuer, c)
}

// metadata is what a client needs to know of a provider (OpenID Connect Discovery 1.0, section 3).
type metadata struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
}

// An app is a client of the provider in the browser of one user, who has, once logged in,
// a session there.
type app struct {
	provider *provider
	at       metadata
	browser  *http.Client
}

func (p *provider) newApp(t testing.TB) *app {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{provider: p, browser: &http.Client{Jar: jar, CheckRedirect: stopAtCallback, Timeout: patience}}
	res, err := a.browser.Get(p.name + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	decodeAnswer(t, res, &a.at)
	return a
}

// stopAtCallback leaves the redirect that would open the app for the test to read.
func stopAtCallback(next *http.Request, _ []*http.Request) error {
	if strings.HasPrefix(next.URL.String(), appCallback+"?") {
		return http.ErrUseLastResponse
	}
	return nil
}

// A login is what a user enters into the provider's login page, where that is shown, and
// how long ago that was.
type login struct {
	user string
	ago  time.Duration
}

// granted is what the provider issued, and whether it showed the login page before.
type granted struct {
	AccessToken string `json:"access_token"`
	IDToken     string `json:"id_token"`
	asked       bool
}

// asking is what the app adds to, or has otherwise in, its authorization requests.
type asking = map[string]string

// authorize sends the user to the provider and returns with tokens: the authorization code
// flow (RFC 6749, section 4.1) with PKCE (RFC 7636), for one resource (RFC 8707).
func (a *app) authorize(t testing.TB, l login, with asking) granted {
	t.Helper()
	verifier, state := rand.Text()+rand.Text(), rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	ask := asking{
		"response_type": "code", "client_id": appID, "redirect_uri": appCallback,
		"scope": "openid wallet:export", "resource": audienceName, "state": state,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	}
	maps.Copy(ask, with)
	callback, asked := a.visit(t, l, ask)
	if callback.Get("state") != state || callback.Get("iss") != a.at.Issuer { // RFC 9207
		t.Fatalf("the provider sent the user back with %v, want our state and its name", callback)
	}
	g := a.redeem(t, callback.Get("code"), verifier, ask["resource"])
	g.asked = asked
	return g
}

// visit is what happens in the browser, until it is sent back to the app.
func (a *app) visit(t testing.TB, l login, ask asking) (callback url.Values, asked bool) {
	t.Helper()
	res, err := a.browser.Get(a.at.Authorization + "?" + encoded(ask))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if page := res.Request.URL; strings.HasPrefix(page.Path, "/login/") {
		asked = true
		res = a.enter(t, page, l)
		defer res.Body.Close()
	}
	back, err := res.Location()
	if err != nil || back.Query().Get("code") == "" {
		body, _ := io.ReadAll(res.Body)
		t.Fatalf("the provider answered %s (Location %v), want a redirect with a code\n%s", res.Status, back, body)
	}
	return back.Query(), asked
}

// enter fills in the login page.
func (a *app) enter(t testing.TB, page *url.URL, l login) *http.Response {
	t.Helper()
	form, err := json.Marshal(claims{"user": l.user, "ago": int64(l.ago.Seconds())})
	if err != nil {
		t.Fatal(err)
	}
	res, err := a.browser.Post(page.String(), "application/json", bytes.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// redeem exchanges a code for tokens.
func (a *app) redeem(t testing.TB, code, verifier, resource string) (g granted) {
	t.Helper()
	form := asking{
		"grant_type": "authorization_code", "code": code, "redirect_uri": appCallback,
		"client_id": appID, "code_verifier": verifier, "resource": resource,
	}
	res, err := a.browser.Post(a.at.Token, "application/x-www-form-urlencoded", strings.NewReader(encoded(form)))
	if err != nil {
		t.Fatal(err)
	}
	decodeAnswer(t, res, &g)
	for _, token := range []string{g.AccessToken, g.IDToken} {
		if firstToken(token) != token {
			t.Fatalf("the provider issued %q, want a JWT", token)
		}
		a.provider.secrets.learn("the provider", token)
	}
	return g
}

func encoded(parameters asking) string {
	values := make(url.Values)
	for name, value := range parameters {
		values.Set(name, value)
	}
	return values.Encode()
}

// decodeAnswer reads the JSON of an answer that has to be 200.
func decodeAnswer(t testing.TB, res *http.Response, into any) {
	t.Helper()
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("asking %s: %v", res.Request.URL.Path, err)
	}
}
