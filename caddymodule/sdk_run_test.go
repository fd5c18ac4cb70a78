package caddymodule_test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	pageOrigin     = "https://app.example.com"
	strangerOrigin = "https://evil.example"

	sdkEnvironment = `environment {
			{{environment}}
			cors ` + pageOrigin + `
		}`
)

// sdk calls the endpoints as the JavaScript SDKs do from a page: the tokens that it holds
// and whatever else they send go along with every call.
type sdk struct {
	*running
	device *ecdsa.PrivateKey
	nonces []string // that were fetched and not used yet
	token  string   // of the session
}

func newSDK(g *running) *sdk {
	g.t.Helper()
	device, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	return &sdk{running: g, device: device}
}

// call makes a call that must be answered like this, and in a way that the page can read.
func (s *sdk) call(r request, status int, code string) response {
	s.t.Helper()
	header := http.Header{
		"Origin": {pageOrigin}, "Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"application/json"},
		"X-Dyn-Api-Version": {"API/0.0.881"}, "X-Dyn-Version": {"ClientSDK/1.27.1"}, "X-Dynamic-Platform": {"web"},
		"X-Dyn-Request-Id": {rand.Text()}, "X-Dyn-Session-Id": {rand.Text()}, "X-Dyn-Session-Public-Key": {s.publicKey()},
	}
	for name, values := range r.header {
		header[name] = values
	}
	r.header, r.bearer = header, cmp.Or(r.bearer, s.token)
	got := s.want(r, status, code)
	s.wantReadable(r, got, pageOrigin)
	return got
}

// wantReadable fails the test unless a page of the origin can read the answer. Empty: no page can.
func (g *running) wantReadable(r request, got response, origin string) {
	g.t.Helper()
	name, credentials := got.header.Values("Access-Control-Allow-Origin"), got.header.Get("Access-Control-Allow-Credentials")
	switch {
	case origin == "" && (len(name) > 0 || credentials != ""):
		g.t.Errorf("%s %s: pages of %q can read the %d", r.method, r.path, name, got.status)
	case origin != "" && (!slices.Equal(name, []string{origin}) || credentials != "true"):
		g.t.Errorf("%s %s: pages of %q can read the %d, with credentials %q, want those of %s with true",
			r.method, r.path, name, got.status, credentials, origin)
	}
	if !strings.Contains(strings.Join(got.header.Values("Vary"), ","), "Origin") {
		g.t.Errorf("%s %s: Vary is %q, want that it names Origin", r.method, r.path, got.header.Values("Vary"))
	}
}

func (s *sdk) post(endpoint, body string) request {
	return request{method: "POST", path: endpoints + endpoint, body: body}
}

func (s *sdk) get(endpoint string) request {
	return request{method: "GET", path: endpoints + endpoint}
}

// publicKey is the compressed point of the device's key (SEC 1, section 2.3.3).
func (s *sdk) publicKey() string {
	s.t.Helper()
	point, err := s.device.PublicKey.Bytes()
	if err != nil {
		s.t.Fatal(err)
	}
	x, y := point[1:33], point[33:]
	return hex.EncodeToString(append([]byte{2 | y[31]&1}, x...))
}

// signed adds what shows that the device has its key: a nonce, and a signature over it.
func (s *sdk) signed(r request, nonce string) request {
	s.t.Helper()
	digest := sha256.Sum256([]byte(nonce))
	a, b, err := ecdsa.Sign(rand.Reader, s.device, digest[:])
	if err != nil {
		s.t.Fatal(err)
	}
	signature := append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...)
	r.header = http.Header{
		"X-Dynamic-Device-Nonce": {nonce}, "X-Dynamic-Device-Publickey": {s.publicKey()},
		"X-Dynamic-Device-Signed-Nonce": {hex.EncodeToString(signature)},
	}
	return r
}

// nonce is one of those that were fetched, five at a time.
func (s *sdk) nonce() string {
	s.t.Helper()
	if len(s.nonces) == 0 {
		for _, nonce := range s.call(s.get("/nonces?count=5"), 200, "").body["nonces"].([]any) {
			s.nonces = append(s.nonces, nonce.(string))
		}
	}
	next := s.nonces[0]
	s.nonces = s.nonces[1:]
	return next
}

// signedIn signs in with a JWT and keeps the session. It returns the answer.
func (s *sdk) signedIn(external string) map[string]any {
	s.t.Helper()
	r := s.signed(s.post("/externalAuth/signin", `{"jwt":"`+external+`","sessionPublicKey":"`+s.publicKey()+`"}`), s.nonce())
	got := s.call(r, 200, "")
	s.token = s.secret(got.body["minifiedJwt"].(string))
	return got.body
}

// refuseSignIn tries to sign in with a JWT, which must be refused for this reason.
func (s *sdk) refuseSignIn(external, reason string) {
	s.t.Helper()
	got := s.call(s.signed(s.post("/externalAuth/signin", `{"jwt":"`+external+`"}`), s.nonce()), 422, "invalid_external_auth")
	if got.body["reason"] != reason {
		s.t.Errorf("the sign-in is refused because of %v, want %s", got.body["reason"], reason)
	}
}

// userOf is the user in an answer, which must have one.
func userOf(t *testing.T, answer map[string]any) map[string]any {
	t.Helper()
	user, ok := answer["user"].(map[string]any)
	if !ok {
		t.Fatalf("no user in %v", answer)
	}
	return user
}

// The life of a session as an app sees it, from the first call of its page to the last.
func TestLifeOfASessionOverTheEndpoints(t *testing.T) {
	g := start(t, sdkEnvironment, plainSite)
	s := newSDK(g)
	s.wantSettings(true)
	if n := s.call(s.get("/nonce"), 200, "").body["nonce"]; n == "" || n == nil {
		t.Errorf("the nonce is %v", n)
	}
	s.call(s.post("/sdkSettings", `{"sdkVersion":"5.3.2","settings":{"views":[]}}`), 204, "")
	s.call(s.get("/users"), 401, "token_missing")
	s.call(s.post("/refresh", ""), 401, "token_missing") // which a page in cookie mode does before anybody is signed in

	session := s.signedIn(g.external("alice"))
	user := userOf(t, session)
	claims := claimsOf(t, s.token)
	for name, want := range map[string]any{
		"id": claims["sub"], "sessionId": claims["sid"], "projectEnvironmentId": environmentID, "scope": "user:basic",
		"lastVerifiedCredentialId": claims["last_verified_credential_id"], "newUser": true,
	} {
		if user[name] != want {
			t.Errorf("the user's %s is %v, want %v", name, user[name], want)
		}
	}
	if session["expiresAt"] != claims["exp"] {
		t.Errorf("the session ends at %v, its token at %v", session["expiresAt"], claims["exp"])
	}
	if got := identitiesOf(t, user); !slices.Equal(got, []string{"alice"}) {
		t.Errorf("the user's identities are %q, want alice", got)
	}
	s.stepUp()
	old := s.token
	s.carryOn(claims)
	if got := s.call(s.get("/users"), 200, "").body; got["id"] != user["id"] || got["sessionId"] != user["sessionId"] || got["newUser"] != false {
		t.Errorf("the user is %v, want %v, who is not new any more", got, user)
	}

	s.call(s.post("/revoke", ""), 204, "")
	for _, token := range []string{old, s.token} {
		s.token = token
		s.call(s.get("/users"), 401, "session_revoked")
		s.call(s.post("/refresh", ""), 401, "session_revoked")
		s.call(request{path: "/wallets/1"}, 401, "session_revoked")
	}
}

// wantSettings fails the test unless the settings let both SDKs start, and tell strangers
// nothing of the login system.
func (s *sdk) wantSettings(enabled bool) {
	s.t.Helper()
	got := s.call(s.get("/settings?sdkVersion=ClientSDK/1.27.1"), 200, "")
	want := fmt.Sprintf(`{"environmentName":"live","chains":[],"kyc":[],"design":{},"sdk":{},"general":{},"privacy":{},`+
		`"security":{"auth":{"storage":["localstorage"]},"externalAuth":{"enabled":%t,"cookieName":null}}}`, enabled)
	if sorted(s.t, []byte(got.raw)) != sorted(s.t, []byte(want)) {
		s.t.Errorf("settings\n%s\nwant\n%s", got.raw, want)
	}
}

// stepUp does what takes an elevated token, once.
func (s *sdk) stepUp() {
	s.t.Helper()
	export := request{method: "POST", path: "/wallets/1/export"}
	s.call(export, 403, "step_up_required")
	if got := s.call(s.post("/stepUp/check", `{"scope":"wallet:export"}`), 200, "").body; got["isRequired"] != true || len(got["credentials"].([]any)) != 1 {
		s.t.Errorf("the check says %v, want that it is required, and one credential", got)
	}
	got := s.call(s.post("/externalAuth/verify", `{"jwt":"`+s.assertion("alice", "wallet:export")+`"}`), 200, "")
	if cache := got.header.Get("Cache-Control"); cache != "no-store" {
		s.t.Errorf("an answer with a token has Cache-Control %q, want no-store", cache)
	}
	export.elevated = s.secret(got.body["elevatedAccessToken"].(string))
	claims := claimsOf(s.t, export.elevated)
	if claims["scope"] != "wallet:export" || claims["singleUse"] != true || claims["token_use"] != "elevated" {
		s.t.Errorf("the elevated token says %v", claims)
	}
	s.call(request{path: "/wallets/1"}, 200, "")
	s.call(export, 200, "")
	if passed := claimsOf(s.t, s.upstream.last(s.t).Header.Get("Authorization")); passed["jti"] != claims["jti"] {
		s.t.Errorf("the upstream was given %v, want the elevated token", passed)
	}
	s.call(export, 403, "elevated_used")
}

// carryOn refreshes the session: with another token, and no other session.
func (s *sdk) carryOn(before map[string]any) {
	s.t.Helper()
	got := s.call(s.signed(s.post("/refresh", ""), s.nonce()), 200, "").body
	fresh := s.secret(got["minifiedJwt"].(string))
	claims := claimsOf(s.t, fresh)
	if fresh == s.token || claims["sid"] != before["sid"] || claims["sub"] != before["sub"] || got["expiresAt"] != claims["exp"] {
		s.t.Errorf("refreshed to %v, want another token of the same session as %v", claims, before)
	}
	s.call(request{path: "/wallets/1"}, 200, "") // with the old token, until its own end
	s.token = fresh
	s.call(request{path: "/wallets/1"}, 200, "")
}

// The login system says how long its JWT is good, and nothing that comes from it is good longer.
func TestSessionsEndWithTheExternalJWT(t *testing.T) {
	g := start(t, sdkEnvironment, plainSite)
	now := time.Now()
	for _, c := range []struct {
		name string
		exp  time.Time
		ends bool // with the JWT
	}{
		{"a JWT that is about to end", now.Add(2 * time.Minute), true},
		{"a JWT that lives longer than sessions do", now.Add(3 * time.Hour), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSDK(g)
			first := s.signedIn(g.external("alice", map[string]any{"exp": c.exp.Unix()}))
			again := s.call(s.post("/refresh", ""), 200, "").body
			s.secret(again["minifiedJwt"].(string))
			for name, answer := range map[string]map[string]any{"sign-in": first, "refresh": again} {
				ends := date(t, answer, "expiresAt")
				if token := date(t, claimsOf(t, answer["minifiedJwt"].(string)), "exp"); token != ends {
					t.Errorf("%s: the token ends at %v, the session at %v", name, token, ends)
				}
				if exp := float64(c.exp.Unix()); (ends == exp) != c.ends || ends > exp {
					t.Errorf("%s: the session ends at %v, the JWT at %v", name, ends, exp)
				}
			}
		})
	}
	newSDK(g).refuseSignIn(g.external("alice", map[string]any{"exp": now.Add(-time.Minute).Unix()}), "expired")
}
