package httpapi_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// site is the endpoints of one environment.
type site struct {
	t       *testing.T
	clock   *verifiertest.Clock
	issuer  *verifiertest.Issuer
	env     *gateway.Environment
	api     *httpapi.API
	refused []error
}

func newSite(t *testing.T, o httpapi.Options, change ...func(*gateway.Config)) *site {
	t.Helper()
	s := &site{t: t, clock: verifiertest.NewClock()}
	s.issuer = verifiertest.NewIssuer(t, verifiertest.WithClock(s.clock))
	cfg := gatewaytest.NewConfig(t, s.issuer, s.clock)
	for _, c := range change {
		c(&cfg)
	}
	env, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	o.Refused = func(_ *http.Request, err error) { s.refused = append(s.refused, err) }
	s.env, s.api = env, httpapi.New(env, o)
	return s
}

func (s *site) external(user string) string {
	return s.issuer.Token(map[string]any{"sub": user, "aud": gatewaytest.Audience})
}

// call is one request to an endpoint.
type call struct {
	method, path string
	bearer       string
	cookies      []*http.Cookie
	body         string // JSON unless contentType says otherwise
	contentType  string
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
	for name, values := range c.header {
		r.Header[name] = values
	}
	if c.contentType == "" {
		c.contentType = "application/json"
	}
	r.Header.Set("Content-Type", c.contentType)
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
func (a answer) want(t *testing.T, status int, code, reason verifier.Code) {
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

func (s *site) signIn(user string) (token string) {
	s.t.Helper()
	a := s.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + s.external(user) + `"}`})
	a.want(s.t, http.StatusOK, "", "")
	return a.body["minifiedJwt"].(string)
}

func claimsOf(t *testing.T, token string) map[string]any {
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

func TestSignIn(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	jwt := s.issuer.Token(map[string]any{
		"sub": "alice", "aud": gatewaytest.Audience, "email": "a@example.com", "email_verified": true,
		"given_name": "Alice", "family_name": "A", "preferred_username": "al", "phone_number": "+1",
	})
	a := s.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + jwt + `","sessionPublicKey":"02ab"}`})
	a.want(t, http.StatusOK, "", "")
	claims := claimsOf(t, a.body["minifiedJwt"].(string))
	if a.body["expiresAt"] != claims["exp"] {
		t.Errorf("expiresAt %v, but the token's exp is %v", a.body["expiresAt"], claims["exp"])
	}
	user := a.body["user"].(map[string]any)
	for field, want := range map[string]any{
		"id": claims["sub"], "projectEnvironmentId": gatewaytest.EnvironmentID, "sessionId": claims["sid"],
		"email": "a@example.com", "firstName": "Alice", "lastName": "A", "username": "al", "phoneNumber": "+1",
		"scope": "user:basic",
	} {
		if user[field] != want {
			t.Errorf("user.%s is %v, want %v", field, user[field], want)
		}
	}
	credentials := user["verifiedCredentials"].([]any)
	if len(credentials) != 2 {
		t.Fatalf("%d credentials, want externalUser and email", len(credentials))
	}
	external := credentials[0].(map[string]any)
	if external["format"] != "externalUser" || external["public_identifier"] != "alice" ||
		external["id"] != user["lastVerifiedCredentialId"] || external["id"] != claims["last_verified_credential_id"] {
		t.Errorf("credential %v, want the external user that the token names (%v)", external, claims["last_verified_credential_id"])
	}
	if fields, ok := user["missingFields"].([]any); !ok || len(fields) != 0 {
		t.Errorf("missingFields %v, want []", user["missingFields"])
	}
}

func TestRefusedSignIn(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	other := verifiertest.NewIssuer(t, verifiertest.WithClock(s.clock))
	const path = "/externalAuth/signin"
	for _, c := range []struct {
		name   string
		jwt    string
		reason verifier.Code
	}{
		{"garbage", "x.y.z", verifier.CodeTokenMalformed},
		{"another issuer", other.Token(map[string]any{"aud": gatewaytest.Audience}), verifier.CodeIssuerMismatch},
		{"another audience", s.issuer.Token(map[string]any{"aud": "elsewhere"}), verifier.CodeAudienceMismatch},
		{"expired", s.issuer.Token(map[string]any{"aud": gatewaytest.Audience, "exp": s.clock.Now().Unix() - 1}), verifier.CodeExpired},
		{"too large", strings.Repeat("a", 20<<10), verifier.CodeTokenTooLarge},
		{"a session token of ours", s.signIn("alice"), verifier.CodeIssuerMismatch},
		{"none", "", gateway.CodeTokenMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.do(call{path: path, body: `{"jwt":"` + c.jwt + `"}`})
			a.want(t, http.StatusUnprocessableEntity, "invalid_external_auth", c.reason)
			if c.jwt != "" && strings.Contains(a.raw, c.jwt) {
				t.Error("the answer repeats the token")
			}
			if a.header.Get("WWW-Authenticate") != "" {
				t.Error("a challenge on a 422")
			}
		})
	}
}

// Every endpoint that reads a body refuses what is none, in the shape of all other errors, and does nothing.
func TestBadBodies(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	token := s.signIn("alice")
	for _, path := range []string{"/externalAuth/signin", "/externalAuth/verify", "/stepUp/check"} {
		for name, c := range map[string]call{
			"not JSON":           {body: "jwt=x"},
			"empty":              {body: ""},
			"null":               {body: "null"},
			"an array":           {body: "[]"},
			"two objects":        {body: `{}{}`},
			"a number for text":  {body: `{"jwt":1,"scope":1}`},
			"text/plain":         {body: `{}`, contentType: "text/plain"},
			"a form":             {body: "jwt=x", contentType: "application/x-www-form-urlencoded"},
			"larger than 64 KiB": {body: `{"jwt":"` + strings.Repeat("a", 64<<10) + `"}`},
		} {
			c.path, c.bearer = path, token
			t.Run(path+" "+name, func(t *testing.T) {
				s.do(c).want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
			})
		}
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	for _, path := range []string{"/", "/externalAuth", "/externalAuth/signin/", "/externalauth/signin", "//refresh", "/users"} {
		s.do(call{path: path}).want(t, http.StatusNotFound, "not_found", "")
	}
	a := s.do(call{path: "/refresh", method: http.MethodGet})
	a.want(t, http.StatusMethodNotAllowed, "method_not_allowed", "")
	if got := a.header.Get("Allow"); got != http.MethodPost {
		t.Errorf("Allow %q, want POST", got)
	}
}

func TestVerify(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	token := s.signIn("alice")
	assertion := s.issuer.Assertion("alice", "wallet:export", nil)
	body := `{"jwt":"` + assertion + `"}`
	a := s.do(call{path: "/externalAuth/verify", bearer: token, body: body})
	a.want(t, http.StatusOK, "", "")
	claims := claimsOf(t, a.body["elevatedAccessToken"].(string))
	if claims["scope"] != "wallet:export" || claims["singleUse"] != true || claims["sid"] != claimsOf(t, token)["sid"] {
		t.Errorf("elevated token %v", claims)
	}
	s.do(call{path: "/externalAuth/verify", bearer: token, body: body}).
		want(t, http.StatusUnprocessableEntity, "invalid_external_auth", gateway.CodeReplayed)
	for reason, jwt := range map[verifier.Code]string{
		verifier.CodeSubjectMismatch: s.issuer.Assertion("mallory", "wallet:export", nil),
		verifier.CodeScopeMissing:    s.issuer.Assertion("alice", "", nil),
		verifier.CodeJTIMissing:      s.issuer.Assertion("alice", "x", map[string]any{"jti": nil}),
		verifier.CodeLifetimeTooLong: s.issuer.Assertion("alice", "x", map[string]any{"exp": s.clock.Now().Add(2 * time.Hour).Unix()}),
		verifier.CodeTypeMismatch:    s.issuer.Token(map[string]any{"sub": "alice", "aud": gatewaytest.Audience, "scope": "x", "jti": "1"}),
	} {
		s.do(call{path: "/externalAuth/verify", bearer: token, body: `{"jwt":"` + jwt + `"}`}).
			want(t, http.StatusUnprocessableEntity, "invalid_external_auth", reason)
	}
}

// Whatever needs a session says 401 with an error and a challenge where there is none:
// in cookie mode the SDKs ask before anybody has signed in, and tolerate nothing else.
func TestEndpointsThatNeedASession(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	revoked, expired := s.signIn("alice"), s.signIn("bob")
	s.do(call{path: "/revoke", bearer: revoked}).want(t, http.StatusNoContent, "", "")
	for _, path := range []string{"/externalAuth/verify", "/stepUp/check", "/refresh", "/revoke"} {
		a := s.do(call{path: path, body: `{"jwt":"x","scope":"x"}`})
		a.want(t, http.StatusUnauthorized, gateway.CodeTokenMissing, "")
		if got := a.header.Get("WWW-Authenticate"); got != `Bearer realm="byoa"` {
			t.Errorf("challenge %q: no error where no token came", got)
		}
		a = s.do(call{path: path, bearer: revoked, body: `{"jwt":"x","scope":"x"}`})
		a.want(t, http.StatusUnauthorized, gateway.CodeSessionRevoked, "")
		if got := a.header.Get("WWW-Authenticate"); got != `Bearer realm="byoa", error="invalid_token"` {
			t.Errorf("challenge %q", got)
		}
		s.do(call{path: path, header: http.Header{"Authorization": {"Bearer a", "Bearer b"}}, body: `{}`}).
			want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
		s.do(call{path: path, header: http.Header{"Authorization": {"Basic eDp5"}}, body: `{}`}).
			want(t, http.StatusUnauthorized, gateway.CodeTokenMissing, "")
	}
	s.clock.Advance(time.Hour)
	s.do(call{path: "/refresh", bearer: expired}).want(t, http.StatusUnauthorized, verifier.CodeExpired, "")
}

func TestRefreshKeepsTheSession(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	jwt := s.issuer.Token(map[string]any{"sub": "alice", "aud": gatewaytest.Audience, "exp": s.clock.Now().Add(90 * time.Minute).Unix()})
	a := s.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + jwt + `"}`})
	before := claimsOf(t, a.body["minifiedJwt"].(string))
	s.clock.Advance(50 * time.Minute)
	a = s.do(call{path: "/refresh", bearer: a.body["minifiedJwt"].(string)})
	a.want(t, http.StatusOK, "", "")
	after := claimsOf(t, a.body["minifiedJwt"].(string))
	if after["sid"] != before["sid"] || after["jti"] == before["jti"] {
		t.Errorf("sid %v jti %v after sid %v jti %v", after["sid"], after["jti"], before["sid"], before["jti"])
	}
	if end := float64(s.clock.Now().Add(40 * time.Minute).Unix()); after["exp"].(float64) > end {
		t.Errorf("exp %v is past the external JWT's own, %v", after["exp"], end)
	}
}

func TestCheckStepUp(t *testing.T) {
	s := newSite(t, httpapi.Options{}, func(c *gateway.Config) {
		c.Scopes = map[string]gateway.ScopeRule{"wallet:export": {}}
	})
	token := s.signIn("alice")
	for scope, want := range map[string]bool{"wallet:export": true, "user:basic": false} {
		a := s.do(call{path: "/stepUp/check", bearer: token, body: `{"scope":"` + scope + `"}`})
		a.want(t, http.StatusOK, "", "")
		if credentials, ok := a.body["credentials"].([]any); a.body["isRequired"] != want || !ok || len(credentials) != 1 {
			t.Errorf("%s: %s, want isRequired %t and credentials", scope, a.raw, want)
		}
	}
	s.do(call{path: "/stepUp/check", bearer: token, body: `{"scope":"a  b"}`}).
		want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
}

func TestPublishedKeysVerifySessions(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	token := s.signIn("alice")
	for _, path := range []string{"/.well-known/jwks", "/.well-known/jwks.json"} {
		a := s.do(call{path: path, method: http.MethodGet})
		a.want(t, http.StatusOK, "", "")
		keys, err := verifier.ParseKeySet([]byte(a.raw))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := verifier.Parse(token, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.VerifySignature(context.Background(), parsed); err != nil {
			t.Errorf("%s does not verify a session token: %v", path, err)
		}
		if strings.Contains(a.raw, `"d"`) {
			t.Errorf("%s shows a private key", path)
		}
	}
}

// brokenStore is a store whose disk is gone.
type brokenStore struct{ gateway.Store }

func (brokenStore) RevokedAt(string) (time.Time, error) {
	return time.Time{}, errors.New("input/output error on /var/lib/byoa")
}

func TestFailureOfOursIs503AndTellsNothing(t *testing.T) {
	s := newSite(t, httpapi.Options{}, func(c *gateway.Config) { c.Store = brokenStore{c.Store} })
	a := s.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + s.external("alice") + `"}`})
	a.want(t, http.StatusServiceUnavailable, gateway.CodeStoreUnavailable, "")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if strings.Contains(a.raw, "/var/lib") {
		t.Errorf("the client is told the cause: %s", a.raw)
	}
	if len(s.refused) != 1 || !strings.Contains(errors.Join(s.refused...).Error()+causeIn(s.refused[0]), "input/output error") {
		t.Errorf("the log is not told the cause: %v", s.refused)
	}
}

func causeIn(err error) string {
	var r *gateway.Refusal
	if errors.As(err, &r) && r.Cause != nil {
		return r.Cause.Error()
	}
	return ""
}
