package httpapi_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// site is the endpoints of one environment.
type site struct {
	t       testing.TB
	clock   *verifiertest.Clock
	issuer  *verifiertest.Issuer // the login system that most users have
	other   *verifiertest.Issuer // another one, on a linkingSite
	env     *gateway.Environment
	api     *httpapi.API
	refused []error
}

// Issuers have names that do not change from run to run, and neither do the IDs made of them.
const (
	issuerName = "https://login.example.com"
	otherName  = "https://sso.example.net"
)

func newSite(t testing.TB, o httpapi.Options, change ...func(*gateway.Config)) *site {
	t.Helper()
	s := &site{t: t, clock: verifiertest.NewClock()}
	s.issuer = verifiertest.NewIssuer(t, verifiertest.WithClock(s.clock), verifiertest.WithIssuer(issuerName))
	return s.open(o, gatewaytest.NewConfig(t, s.issuer, s.clock), change)
}

// linkingSite is a site with two login systems, of which users may link identities.
func linkingSite(t testing.TB, o httpapi.Options, change ...func(*gateway.Config)) *site {
	t.Helper()
	s := &site{t: t, clock: verifiertest.NewClock()}
	s.issuer = verifiertest.NewIssuer(t, verifiertest.WithClock(s.clock), verifiertest.WithIssuer(issuerName))
	s.other = verifiertest.NewIssuer(t, verifiertest.WithClock(s.clock), verifiertest.WithIssuer(otherName))
	cfg := gatewaytest.NewConfig(t, s.issuer, s.clock)
	cfg.Providers = append(cfg.Providers, gatewaytest.NewConfig(t, s.other, s.clock).Providers...)
	cfg.Link = true
	return s.open(o, cfg, change)
}

func (s *site) open(o httpapi.Options, cfg gateway.Config, change []func(*gateway.Config)) *site {
	s.t.Helper()
	for _, c := range change {
		c(&cfg)
	}
	env, err := gateway.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	if o.Now == nil {
		o.Now = s.clock.Now
	}
	o.Refused = func(_ *http.Request, err error) { s.refused = append(s.refused, err) }
	s.env, s.api = env, httpapi.New(env, o)
	return s
}

// external is a JWT of the user's login system.
func (s *site) external(user string) string { return externalOf(s.issuer, user) }

func externalOf(i *verifiertest.Issuer, user string) string {
	return i.Token(map[string]any{"sub": user, "aud": gatewaytest.Audience})
}

// call is one request to an endpoint.
type call struct {
	method, path string
	bearer       string
	cookies      []*http.Cookie
	body         string // JSON unless contentType says otherwise
	contentType  string // "none": left out
	header       http.Header
}

// answer is what came back, with the body decoded where it is JSON.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

func (s *site) do(c call) answer {
	s.t.Helper()
	if c.method == "" {
		c.method = http.MethodPost
	}
	r := httptest.NewRequest(c.method, "https://api.example.com"+c.path, strings.NewReader(c.body))
	maps.Copy(r.Header, c.header)
	switch c.contentType {
	case "":
		r.Header.Set("Content-Type", "application/json")
	case "none":
	default:
		r.Header.Set("Content-Type", c.contentType)
	}
	if c.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	for _, cookie := range c.cookies {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &a.body); err != nil {
			s.t.Fatalf("%s: the answer is no JSON object: %v\n%s", c.path, err, w.Body)
		}
	}
	return a
}

// want fails the test unless the answer has this status and, in its body, this code and reason.
func (a answer) want(t testing.TB, status int, code, reason verifier.Code) {
	t.Helper()
	gotCode, _ := a.body["code"].(string)
	gotReason, _ := a.body["reason"].(string)
	if a.status != status || gotCode != string(code) || gotReason != string(reason) {
		t.Fatalf("%d code %q reason %q; want %d %q %q\n%s", a.status, gotCode, gotReason, status, code, reason, a.raw)
	}
	if status >= 400 {
		if text, _ := a.body["error"].(string); text == "" {
			t.Errorf("no error for people in %s", a.raw)
		}
		if got := a.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control %q, want no-store", got)
		}
	}
}

// signIn signs user in through the endpoint.
func (s *site) signIn(user string) (token string) {
	s.t.Helper()
	a := s.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + s.external(user) + `"}`})
	a.want(s.t, http.StatusOK, "", "")
	return a.body["minifiedJwt"].(string)
}

// signedIn signs user in without the endpoints.
func (s *site) signedIn(user string) (token string) {
	s.t.Helper()
	session, _, err := s.env.SignIn(context.Background(), s.external(user), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return session.Token
}

func claimsOf(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts, want a compact JWS", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
