package caddymodule_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func init() { caddy.RegisterModule(lastHandler{}) }

// lastHandler stands where the upstream would, and keeps what comes there.
type lastHandler struct{}

func (lastHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_last", New: func() caddy.Module { return new(lastHandler) }}
}

// arrivedKey is where a request's context has the *http.Request to keep it in.
type arrivedKey struct{}

func (lastHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	_, _ = io.Copy(io.Discard, r.Body) // and the trailers after it
	if arrived, ok := r.Context().Value(arrivedKey{}).(*http.Request); ok {
		*arrived = *r.Clone(context.Background())
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// wholeServer is Caddy's server with all that this product puts into it, without a socket between.
type wholeServer struct {
	server *caddyhttp.Server
	tokens *strings.Replacer      // what stands for a token in a request, and this process's
	keys   *verifier.StaticKeySet // what its JWKS holds
	users  []string               // the ids of those who have tokens
	prefix string                 // of the endpoints of the environment
}

func newWholeServer(f *testing.F) *wholeServer {
	issuer := verifiertest.NewIssuer(f)
	config := map[string]any{
		"admin":   map[string]any{"disabled": true, "config": map[string]any{"persist": false}},
		"logging": map[string]any{"logs": map[string]any{"default": map[string]any{"level": "DEBUG", "writer": map[string]any{"output": "discard"}, "encoder": map[string]any{"format": "byoa"}}}},
		"storage": map[string]any{"module": "file_system", "root": filepath.Join(f.TempDir(), "storage")},
		"apps": map[string]any{
			"byoa": map[string]any{"environments": map[string]any{"default": map[string]any{
				"id": environmentID, "issuer": issuer.URL(), "jwks_url": issuer.JWKSURL(), "audience": []string{audience},
				"cookie_name": "jwt", "session": map[string]any{"cookie": "session", "lifetime": 24 * time.Hour, "max_lifetime": 24 * time.Hour},
				"assertion": map[string]any{"type": "step-up+jwt"},
				"scopes":    map[string]any{"pay": map[string]any{"multi_use": true, "lifetime": 24 * time.Hour}},
				"store":     map[string]any{"store": "memory"},
			}}},
			"http": map[string]any{"servers": map[string]any{"srv0": map[string]any{
				"listen":                      []string{freeport.Address(f)},
				"automatic_https":             map[string]any{"disable": true},
				"expected_underscore_headers": []string{"X_User_Id", "X_User_Email", "X_User-Id"},
				"expected_dot_headers":        []string{"X.User.Id", "X.User.Email"},
				"routes": []any{map[string]any{"handle": []any{
					map[string]any{"handler": "byoa_api", "check_public": true},
					map[string]any{"handler": "byoa", "allow_query": "token", "claim_headers": []any{
						map[string]any{"name": "X-User-Id", "claim": "user_id"}, map[string]any{"name": "X-User-Email", "claim": "email"},
					}},
					map[string]any{"handler": "step_up", "default": "deny", "routes": []any{
						map[string]any{"method": "GET", "pattern": "/read/{rest...}", "session": true},
						map[string]any{"method": "POST", "pattern": "/pay/{rest...}", "scopes": []string{"pay"}},
					}},
					map[string]any{"handler": "test_last"},
				}}},
			}}},
		},
	}
	text, err := json.Marshal(config)
	if err != nil {
		f.Fatal(err)
	}
	if err := caddy.Load(text, true); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = caddy.Stop() })
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		f.Fatal(err)
	}
	s := &wholeServer{server: app.(*caddyhttp.App).Servers["srv0"], prefix: "/api/v0/sdk/" + environmentID}
	s.makeTokens(f, issuer)
	return s
}

// makeTokens makes one token of each kind, good for a day.
func (s *wholeServer) makeTokens(f *testing.F, issuer *verifiertest.Issuer) {
	far := time.Now().Add(24 * time.Hour).Unix()
	external := issuer.Token(map[string]any{"sub": "alice", "aud": audience, "exp": far})
	assertion := issuer.Sign(map[string]any{"typ": "step-up+jwt"}, map[string]any{"sub": "alice", "scope": "pay", "jti": "one", "exp": time.Now().Add(time.Minute).Unix()})
	s.tokens = strings.NewReplacer()
	_, jwks, _ := s.serve("GET " + s.prefix + "/.well-known/jwks HTTP/1.1\r\nHost: a\r\n\r\n")
	var err error
	if s.keys, err = verifier.ParseKeySet([]byte(jwks)); err != nil {
		f.Fatal(err)
	}
	session := s.signIn(f, external)
	bob := s.signIn(f, issuer.Token(map[string]any{"sub": "bob", "aud": audience, "exp": far}))
	status, answer, _ := s.serve("POST " + s.prefix + "/externalAuth/verify HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + session +
		"\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{\"jwt\":\"" + assertion + "\"}")
	var verified struct{ ElevatedAccessToken string }
	if err := json.Unmarshal([]byte(answer), &verified); err != nil || verified.ElevatedAccessToken == "" {
		f.Fatalf("exchanging the assertion: %d %s", status, answer)
	}
	s.tokens = strings.NewReplacer("{external}", external, "{session}", session, "{bob}", bob, "{elevated}", verified.ElevatedAccessToken, "{assertion}", assertion)
}

// signIn is the session token that arrives for an external JWT.
func (s *wholeServer) signIn(f *testing.F, external string) string {
	_, _, arrived := s.serve("GET /read/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + external + "\r\n\r\n")
	if arrived == nil {
		f.Fatal("a good token is not let through")
	}
	token := strings.TrimPrefix(arrived.Header.Get("Authorization"), "Bearer ")
	s.users = append(s.users, s.open(f, token)["sub"].(string))
	return token
}

// serve answers a request as it stands on the wire, but for what stands for a token or the length of the body, and says what arrived behind the gateway; nil is nothing.
// What net/http cannot read has status 0: it never reaches a handler.
func (s *wholeServer) serve(wire string) (status int, body string, arrived *http.Request) {
	wire = s.tokens.Replace(wire)
	if _, body, ok := strings.Cut(wire, "\r\n\r\n"); ok {
		wire = strings.Replace(wire, "{length}", strconv.Itoa(len(body)), 1)
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		return 0, "", nil
	}
	r.RemoteAddr = "127.0.0.1:40000"
	arrived = new(http.Request)
	ctx := context.WithValue(r.Context(), arrivedKey{}, arrived)
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80})
	w := httptest.NewRecorder()
	s.server.ServeHTTP(w, r.WithContext(ctx))
	if arrived.Method == "" {
		arrived = nil
	}
	return w.Code, w.Body.String(), arrived
}

// Whatever bytes are sent to a server with this product in it: it answers, and not that it has failed; no
// answer to a request that is refused repeats a token; and what arrives behind the gateway is what the table lets through, with the
// gateway's own token for one who has signed in, and with nothing that says otherwise.
func FuzzGateway(f *testing.F) {
	s := newWholeServer(f)
	through, refused, endpoints := gatewaySeeds(s.prefix)
	for _, seed := range slices.Concat(through, refused, endpoints) {
		f.Add(seed)
	}
	for _, seed := range slices.Concat(through, refused) {
		if status, body, arrived := s.serve(seed); (arrived != nil) != slices.Contains(through, seed) {
			f.Fatalf("%q: %d %s, and %v arrived", seed, status, body, arrived)
		}
	}
	f.Fuzz(func(t *testing.T, wire string) {
		status, body, arrived := s.serve(wire)
		if status >= http.StatusInternalServerError {
			t.Fatalf("%d: %s", status, body)
		}
		if status >= http.StatusBadRequest && strings.Contains(body, "eyJ") && !strings.Contains(wire, "eyJ") {
			t.Fatalf("the refusal repeats a token: %s", body)
		}
		if arrived != nil {
			s.checkArrived(t, arrived)
		}
	})
}

// open is what a token that this gateway has signed says.
func (s *wholeServer) open(t testing.TB, token string) map[string]any {
	t.Helper()
	parsed, err := verifier.Parse(token, 0)
	if err != nil {
		t.Fatalf("what arrived is no token: %v", err)
	}
	if _, err := s.keys.VerifySignature(t.Context(), parsed); err != nil {
		t.Fatalf("a token arrived that is not the gateway's: %v", err)
	}
	claims, err := parsed.UnverifiedClaims()
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(claims.Payload(), &members); err != nil {
		t.Fatal(err)
	}
	return members
}

// checkArrived knows one request that comes for nobody: the preflight of a browser, which brings no credential.
func (s *wholeServer) checkArrived(t *testing.T, r *http.Request) {
	t.Helper()
	if isPreflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""; !isPreflight {
		userID := s.checkOperation(t, r)
		if got := r.Header["X-User-Id"]; !slices.Equal(got, []string{userID}) {
			t.Fatalf("%s %s arrived for %s, and with X-User-Id %q", r.Method, r.URL.Path, userID, got)
		}
		delete(r.Header, "X-User-Id")
		delete(r.Header, "Authorization")
	}
	s.checkRemoved(t, r)
	maps.Copy(r.Header, r.Trailer)
	for name, values := range r.Header {
		folded := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
		if slices.Contains([]string{"x-user-id", "x-user-email", "authorization", "x-dyn-elevated-access-token", "x-step-up-assertion"}, folded) {
			t.Fatalf("%s %s arrived with the client's %s: %q", r.Method, r.URL.Path, name, values)
		}
	}
}

// checkRemoved: no place where a credential is looked for has one any more, and nothing asks a proxy to
// drop a header or to take another route.
func (s *wholeServer) checkRemoved(t *testing.T, r *http.Request) {
	t.Helper()
	for _, name := range []string{"jwt", "session"} {
		if cookie, err := r.Cookie(name); err == nil {
			t.Fatalf("%s %s arrived with the cookie %s", r.Method, r.URL.Path, cookie.Name)
		}
	}
	for _, uri := range []string{r.RequestURI, r.URL.String()} {
		if _, query, _ := strings.Cut(uri, "?"); strings.Contains("&"+query, "&token=") {
			t.Fatalf("%s %s arrived with its query parameter", r.Method, r.URL.Path)
		}
	}
	for _, token := range strings.Split(strings.ToLower(strings.Join(r.Header["Connection"], ",")), ",") {
		if !slices.Contains([]string{"", "close", "keep-alive", "upgrade", "te"}, strings.TrimSpace(token)) {
			t.Fatalf("%s %s arrived with Connection: %q", r.Method, r.URL.Path, r.Header["Connection"])
		}
	}
	for _, name := range []string{"X-Http-Method", "X-Http-Method-Override", "X-Method-Override", "X-Original-Url", "X-Rewrite-Url"} {
		if r.Header[name] != nil {
			t.Fatalf("%s %s arrived with %s", r.Method, r.URL.Path, name)
		}
	}
}

// checkOperation says whose request it is: one of those that the table lets through, with the token for it.
func (s *wholeServer) checkOperation(t *testing.T, r *http.Request) (userID string) {
	t.Helper()
	token, ok := strings.CutPrefix(strings.Join(r.Header["Authorization"], "\n"), "Bearer ")
	if !ok {
		t.Fatalf("%s %s arrived without a token", r.Method, r.URL.Path)
	}
	claims := s.open(t, token)
	userID, _ = claims["sub"].(string)
	if !slices.Contains(s.users, userID) {
		t.Fatalf("%s %s arrived for %q, who has no token", r.Method, r.URL.Path, userID)
	}
	path := strings.ToLower(r.URL.Path) + "/"
	reads := (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.HasPrefix(path, "/read/")
	pays := r.Method == http.MethodPost && strings.HasPrefix(path, "/pay/") && claims["token_use"] == "elevated"
	if !reads && !pays {
		t.Fatalf("%s %s arrived with a token for %v", r.Method, r.URL.Path, claims["token_use"])
	}
	return userID
}
