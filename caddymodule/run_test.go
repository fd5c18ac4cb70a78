package caddymodule_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-byoa/caddy-byoa/caddymodule"
	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
	"github.com/caddy-byoa/caddy-byoa/internal/secrecy"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

const (
	environmentID = "95b11417-f18f-457f-8804-68e361f9164f"
	audience      = "https://api.example.com"
)

// running is a real Caddy in this process before an upstream that records what reaches it.
type running struct {
	t        *testing.T
	issuer   *verifiertest.Issuer
	upstream *upstream
	address  string                      // host:port of the site
	site     string                      // its address in the Caddyfile; empty: plain HTTP at address
	lines    string                      // of the site, whatever it is
	options  string                      // further global options
	sites    string                      // further sites
	admin    string                      // host:port of the admin API; empty: off
	loaded   bool                        // a config
	reloaded bool                        // another one after that, or was asked to
	edit     func(config map[string]any) // what no Caddyfile says; may be nil
	logFile  string
	secrets  []string // tokens that this test handed out or was given

	kept      secrecy.Recorder // what was sent and said
	tolerated []string         // places where the test wants tokens
}

// start runs a Caddyfile whose environment and site are given; {{…}} stands for what differs:
// {{environment}} for the lines every environment here has, {{upstream}} for its address.
func start(t *testing.T, environment, site string) *running {
	t.Helper()
	g := prepare(t)
	g.load(environment, site)
	return g
}

// prepare makes all that a gateway needs, and does not run it yet.
func prepare(t *testing.T) *running {
	t.Helper()
	g := &running{
		t:        t,
		issuer:   verifiertest.NewIssuer(t),
		upstream: newUpstream(t),
		address:  freeport.Address(t),
		logFile:  filepath.Join(t.TempDir(), "caddy.log"),
	}
	t.Cleanup(func() {
		g.survey()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		g.checkSecrets()
	})
	return g
}

// load replaces the running config.
func (g *running) load(environment, site string) {
	g.t.Helper()
	if err := g.tryLoad(environment, site); err != nil {
		g.t.Fatal(err)
	}
	g.loaded = true
	g.waitUntilItListens()
}

func (g *running) tryLoad(environment, site string) error {
	g.t.Helper()
	text := `{
	persist_config off
	admin ` + cmp.Or(g.admin, "off") + `
	auto_https off
	` + g.options + `
	storage file_system ` + filepath.Join(g.storage(), "storage") + `
	log {
		output file ` + g.logFile + `
		level DEBUG
		format byoa
	}
	byoa {
` + environment + `
	}
}
` + cmp.Or(g.site, "http://"+g.address) + ` {
	log
	` + g.lines + `
` + site + `
}
` + g.sites + `
`
	text = strings.NewReplacer(
		"{{environment}}", `id `+environmentID+`
			issuer `+g.issuer.URL()+`
			jwks_url `+g.issuer.JWKSURL()+`
			audience `+audience+`
			store file `+filepath.Join(g.storage(), "store.db"),
		"{{upstream}}", g.upstream.address,
	).Replace(text)
	adapter := caddyconfig.GetAdapter("caddyfile")
	config, warnings, err := adapter.Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") {
			g.t.Logf("adapting: %s", w)
		}
	}
	if g.edit != nil {
		config = g.edited(config)
	}
	g.reloaded = g.loaded
	err = caddy.Load(config, true)
	starts.Add(1)
	return err
}

// edited is an adapted config as edit changes it.
func (g *running) edited(config []byte) []byte {
	g.t.Helper()
	var tree map[string]any
	if err := json.Unmarshal(config, &tree); err != nil {
		g.t.Fatal(err)
	}
	g.edit(tree)
	edited, err := json.Marshal(tree)
	if err != nil {
		g.t.Fatal(err)
	}
	return edited
}

// storage is where this test's gateway keeps its things, across reloads.
func (g *running) storage() string { return filepath.Dir(g.logFile) }

// waitUntilItListens returns when this config does, and no other: the servers of the one
// before end a moment after it was replaced.
func (g *running) waitUntilItListens() {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if caddy.ListenerUsage("tcp", ":"+portOf(g.address)) > 1 {
			continue
		}
		if conn, err := net.Dial("tcp", g.address); err == nil {
			_ = conn.Close()
			return
		}
	}
	g.t.Fatal("the gateway does not listen")
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// external is a JWT that signs user in.
func (g *running) external(user string, more ...map[string]any) string {
	claims := map[string]any{"sub": user, "aud": audience}
	for _, m := range more {
		for k, v := range m {
			claims[k] = v
		}
	}
	return g.secret(g.issuer.Token(claims))
}

// assertion is good for longer than the slowest machine takes for a test.
func (g *running) assertion(user, scope string) string {
	return g.secret(g.issuer.Assertion(user, scope, map[string]any{"exp": time.Now().Add(50 * time.Minute).Unix()}))
}

func (g *running) secret(token string) string {
	g.secrets = append(g.secrets, token)
	return token
}

// request is one to the gateway, with what most tests set.
type request struct {
	method, path string
	at           string // host:port; empty: the site's
	bearer       string
	elevated     string
	assertion    string
	cookie       string
	header       http.Header // as written: names are not made canonical
	body         string
}

// response is what came back.
type response struct {
	status int
	header http.Header
	code   string // of a JSON error
	raw    string
	body   map[string]any
}

func (g *running) do(r request) response {
	g.t.Helper()
	req, err := g.newRequest(r)
	if err != nil {
		g.t.Fatal(err)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if g.reloaded && closedBeforeTheAnswer(err) {
		// A listener of an earlier config, or of one that was refused, resets when it closes
		// the connections that wait to be accepted. Nobody has read their requests, and a client asks again.
		again, _ := g.newRequest(r)
		res, err = client.Do(again)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	out, err := readResponse(res)
	if err != nil {
		g.t.Fatal(err)
	}
	g.said(req.Method+" "+r.path, out.status, out.header, out.raw)
	return out
}

func (g *running) newRequest(r request) (*http.Request, error) {
	req, err := http.NewRequest(cmp.Or(r.method, http.MethodGet), "http://"+cmp.Or(r.at, g.address)+r.path, strings.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer " + r.bearer, "X-Dyn-Elevated-Access-Token": r.elevated,
		"X-Step-Up-Assertion": r.assertion, "Cookie": r.cookie,
	} {
		if strings.TrimPrefix(value, "Bearer ") != "" {
			req.Header[name] = []string{value}
		}
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	g.heard(req, r.body)
	return req, nil
}

// readResponse reads all of it.
func readResponse(res *http.Response) (response, error) {
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	out := response{status: res.StatusCode, header: res.Header, raw: string(raw)}
	if json.Unmarshal(raw, &out.body) == nil {
		out.code, _ = out.body["code"].(string)
	}
	return out, err
}

// want fails the test unless the answer has this status and code.
func (g *running) want(r request, status int, code string) response {
	g.t.Helper()
	got := g.do(r)
	if got.status != status || got.code != code {
		g.t.Fatalf("%s %s: %d %q, want %d %q\n%s", r.method, r.path, got.status, got.code, status, code, got.raw)
	}
	return got
}

// elevate exchanges an assertion at the endpoints.
func (g *running) elevate(sessionToken, user, scope string) string {
	g.t.Helper()
	got := g.want(request{
		method: "POST", path: "/api/v0/sdk/" + environmentID + "/externalAuth/verify",
		bearer: sessionToken, body: `{"jwt":"` + g.assertion(user, scope) + `"}`,
	}, 200, "")
	return g.secret(got.body["elevatedAccessToken"].(string))
}

func (g *running) signIn(user string) string {
	g.t.Helper()
	got := g.want(request{
		method: "POST", path: "/api/v0/sdk/" + environmentID + "/externalAuth/signin",
		body: `{"jwt":"` + g.external(user) + `"}`,
	}, 200, "")
	return g.secret(got.body["minifiedJwt"].(string))
}

// upstream records the requests that reach it, and answers 200 "upstream".
type upstream struct {
	address string
	mu      sync.Mutex
	seen    []*http.Request
	handler http.HandlerFunc // if set, answers instead
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	u.address = strings.TrimPrefix(server.URL, "http://")
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	seen := r.Clone(r.Context())
	seen.Body = io.NopCloser(bytes.NewReader(body))
	seen.Trailer = r.Trailer
	u.mu.Lock()
	u.seen = append(u.seen, seen)
	handler := u.handler
	u.mu.Unlock()
	if handler != nil {
		handler(w, r)
		return
	}
	_, _ = fmt.Fprint(w, "upstream")
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.seen)
}

// last is the request that reached the upstream last.
func (u *upstream) last(t *testing.T) *http.Request {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.seen) == 0 {
		t.Fatal("nothing reached the upstream")
	}
	return u.seen[len(u.seen)-1]
}

func (u *upstream) answer(h http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.handler = h
}

// tokens are all that the upstream was given.
func (u *upstream) tokens() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []string
	for _, r := range u.seen {
		for _, values := range r.Header {
			for _, v := range values {
				if v = strings.TrimPrefix(v, "Bearer "); strings.Count(v, ".") == 2 {
					all = append(all, v)
				}
			}
		}
	}
	return all
}
