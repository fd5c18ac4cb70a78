package caddymodule_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

// prepareAdmin is prepare for a gateway with an admin API.
func prepareAdmin(t *testing.T) *running {
	t.Helper()
	g := prepare(t)
	g.admin = freeport.Address(t)
	return g
}

// startAdmin is start for a gateway with an admin API.
func startAdmin(t *testing.T, environment, site string) *running {
	t.Helper()
	g := prepareAdmin(t)
	g.load(environment, site)
	return g
}

// ask fails the test unless the admin API gives an answer of this status, in JSON, without any token.
func (g *running) ask(r request, status int) response {
	g.t.Helper()
	r.at = g.admin
	got := g.do(r)
	if got.status != status {
		g.t.Fatalf("%s %s: %d, want %d\n%s", r.method, r.path, got.status, status, got.raw)
	}
	if got.raw != "" && got.header.Get("Content-Type") != "application/json" {
		g.t.Errorf("%s %s: Content-Type %q, want application/json", r.method, r.path, got.header.Get("Content-Type"))
	}
	for _, token := range append(g.secrets, g.upstream.tokens()...) {
		if shownSegment(got.raw, token) != "" {
			g.t.Errorf("%s %s: the answer shows a part of a token", r.method, r.path)
		}
	}
	return got
}

// refused asks, and fails the test unless the answer is an error in Caddy's form that says why.
func (g *running) refused(r request, status int, why string) response {
	g.t.Helper()
	got := g.ask(r, status)
	if said, _ := got.body["error"].(string); !strings.Contains(said, why) {
		g.t.Errorf("%s %s: error %q, want one that says %q", r.method, r.path, said, why)
	}
	return got
}

// on is the path of an endpoint about an environment.
func on(environment, endpoint string) string {
	return "/byoa/environments/" + environment + "/" + endpoint
}

// a user and a session that nobody has; what can be asked to end may be anybody's.
const (
	nobody    = "0f8fad5b-d9cb-5f2c-8a6e-111111111111"
	noSession = "0f8fad5b-d9cb-8f2c-8a6e-222222222222.0f8fad5b-d9cb-4f2c-8a6e-333333333333"
)

// adminEndpoints are all there are but health, whose status depends, with a request that is good.
var adminEndpoints = []struct {
	method, path, body string
	status             int
}{
	{"GET", "/byoa/environments", "", 200},
	{"GET", on("default", "decisions"), "", 200},
	{"POST", on("default", "check"), `{"encodedJwt":"garbage"}`, 200},
	{"POST", on("default", "disable"), "", 200},
	{"POST", on("default", "enable"), "{}", 200},
	{"POST", on("default", "keys/rotate"), "", 200},
	{"DELETE", "/byoa/sessions/" + noSession, "", 204},
	{"DELETE", "/byoa/users/" + nobody + "/sessions", "", 204},
}

func TestAdminEndpointsTakeTheirMethodAlone(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	g.health(200)
	g.refused(request{method: "POST", path: "/byoa/health"}, 405, "this endpoint takes GET")
	for _, e := range adminEndpoints {
		g.ask(request{method: e.method, path: e.path, body: e.body}, e.status)
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GE", "get"} {
			if method == e.method {
				continue
			}
			got := g.refused(request{method: method, path: e.path, body: e.body}, 405, "this endpoint takes "+e.method)
			if allow := got.header.Get("Allow"); allow != e.method && allow != e.method+", HEAD" {
				t.Errorf("%s %s: Allow %q, want %s", method, e.path, allow, e.method)
			}
		}
	}
	if got := g.ask(request{method: "HEAD", path: "/byoa/environments"}, 200); got.raw != "" {
		t.Errorf("HEAD is answered with a body: %s", got.raw)
	}
}

func TestAdminPathsThatAreNone(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	for _, path := range []string{
		"/byoa/", "/byoa/healthy", "/byoa/health/", "/byoa/Health", "/byoa/environments/", "/byoa/environments/default",
		"/byoa/environments/default/keys", "/byoa/environments/default/check/", "/byoa/environments/default/keys%2Frotate",
		"/byoa/environments/default%2Fdecisions", "/byoa/sessions/", "/byoa/sessions/a/b", "/byoa/users/a",
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			g.refused(request{method: method, path: path}, 404, "no endpoint of byoa")
		}
	}
}

func TestAdminEnvironmentsThatAreNone(t *testing.T) {
	g := prepareAdmin(t)
	g.load(g.twoEnvironments(), plainSite)
	for _, name := range []string{"nowhere", "Default", "default%20", "%2e%2e", "..%2fdefault", "%00", "a%0ab", strings.Repeat("x", 5000), environmentID} {
		for _, e := range adminEndpoints {
			if !strings.Contains(e.path, "default") {
				continue
			}
			path := strings.Replace(e.path, "default", name, 1)
			got := g.refused(request{method: e.method, path: path, body: e.body}, 404, "no environment has this name; known: default, second")
			if strings.Contains(got.raw, "nowhere") || strings.Contains(got.raw, "xxx") {
				t.Errorf("%s: the answer repeats what was asked for", e.path)
			}
		}
	}
	g.ask(request{path: "/byoa/environments/de%66ault/decisions"}, 200)
}

// A name in the path is decoded once, and by no other rule than a path's.
func TestAdminDecodesPathsOnce(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	g.ask(request{path: on("%64efault", "decisions")}, 200)
	g.refused(request{path: on("%2564efault", "decisions")}, 404, "no environment")
	g.ask(request{method: "DELETE", path: "/byoa/sessions/%30" + noSession[1:]}, 204)
	g.refused(request{method: "DELETE", path: "/byoa/sessions/%2530" + noSession[1:]}, 400, "no session id")
	g.refused(request{method: "DELETE", path: "/byoa/sessions/+" + noSession}, 400, "no session id")
}

// Actions take no parameters: whoever sends some expects something that will not happen.
func TestAdminActionsRefuseBodies(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	for _, e := range adminEndpoints {
		if e.method == "GET" || strings.HasSuffix(e.path, "check") {
			continue
		}
		for name, r := range map[string]request{
			"a member":         {body: `{"enabled":false}`},
			"an array":         {body: `[]`},
			"no JSON":          {body: `yes`},
			"two objects":      {body: `{}{}`},
			"a form":           {body: `{}`, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}},
			"no type":          {body: `{}`, header: http.Header{"Content-Type": nil}},
			"more than 64 KiB": {body: strings.Repeat(" ", 64<<10) + `{}`},
		} {
			r.method, r.path = e.method, e.path
			why := "takes no parameters"
			if name == "more than 64 KiB" {
				why = "larger than 65536 bytes"
			}
			g.refused(r, 400, why)
		}
		g.ask(request{method: e.method, path: e.path, body: " {} ", header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}}, e.status)
	}
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
}

func TestAdminShowsTheEnvironments(t *testing.T) {
	g := startAdmin(t, `environment {
			{{environment}}
			cookie_name session_jwt
			algorithms ES256 EdDSA
			scope wallet:sign {
				multi_use
				lifetime 10m
			}
			scope wallet:export
			session {
				lifetime 30m
				cookie __Host-byoa
			}
			assertion {
				type step-up+jwt
				audience byoa-step-up
			}
			cors https://app.example.com
		}
		environment second {
			enabled off
			issuer https://second.example.com
			jwks_url https://second.example.com/keys?api_key=hush
			header X-Token
			store memory
		}`, plainSite)
	got := g.ask(request{path: "/byoa/environments"}, 200)
	if strings.Contains(got.raw, "hush") {
		t.Errorf("the answer shows the query of jwks_url: %s", got.raw)
	}
	want := `[{"name":"default","id":"` + environmentID + `","enabled":true,"disabled_by":"",
		"header":"Authorization","cookie_name":"session_jwt",
		"session":{"lifetime":"30m0s","max_lifetime":"24h0m0s","cookie":"__Host-byoa"},
		"providers":[{"issuer":"` + g.issuer.URL() + `","jwks_url":"` + g.issuer.JWKSURL() + `","jwks_file":"","discovery":false,
			"audience":["` + audience + `"],"algorithms":["ES256","EdDSA"]}],
		"assertion":{"type":"step-up+jwt","audience":"byoa-step-up","max_lifetime":"1h0m0s"},
		"scopes":[{"name":"wallet:export","multi_use":false,"lifetime":"5m0s"},{"name":"wallet:sign","multi_use":true,"lifetime":"10m0s"}],
		"link":false,"cors":["https://app.example.com"],"exchanger":"local","store":"file"},
	{"name":"second","id":"43c2b9d5-7e3c-5e2d-9a77-000000000000","enabled":false,"disabled_by":"config",
		"header":"X-Token","cookie_name":"",
		"session":{"lifetime":"1h0m0s","max_lifetime":"24h0m0s","cookie":""},
		"providers":[{"issuer":"https://second.example.com","jwks_url":"https://second.example.com/keys?…","jwks_file":"","discovery":false,
			"audience":[],"algorithms":[]}],
		"assertion":{"type":"","audience":"","max_lifetime":"1h0m0s"},
		"scopes":[],"link":false,"cors":[],"exchanger":"local","store":"memory"}]`
	var shown, expected []map[string]any
	if err := json.Unmarshal([]byte(got.raw), &shown); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		t.Fatal(err)
	}
	if id, _ := shown[1]["id"].(string); len(id) != 36 {
		t.Errorf("the second environment's id is %q, want a UUID", id)
	}
	expected[1]["id"] = shown[1]["id"] // made from its name
	if !reflect.DeepEqual(shown, expected) {
		t.Errorf("got\n%s\nwant\n%s", got.raw, want)
	}
}

// An answer about what runs must not come from a config that was refused, although Caddy
// makes an admin API for that one, and keeps it.
func TestAdminAnswersFromTheConfigInForce(t *testing.T) {
	g := prepareAdmin(t)
	named := func(name, store string) string {
		return "environment " + name + " {\nid " + environmentID + "\nissuer " + g.issuer.URL() + "\njwks_url " + g.issuer.JWKSURL() +
			"\naudience " + audience + "\nstore file " + store + "\n}"
	}
	store := filepath.Join(g.storage(), "store.db")
	one, two := named("one", store), named("two", store)
	inForce := func(name string) {
		t.Helper()
		if got := g.ask(request{path: "/byoa/environments"}, 200); !strings.Contains(got.raw, `"name":"`+name+`"`) || strings.Contains(got.raw, "bad") {
			t.Errorf("the admin API shows %s, want environment %s alone", got.raw, name)
		}
		g.ask(request{method: "POST", path: on(name, "disable")}, 200)
		g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 403, "external_auth_disabled")
		g.ask(request{method: "POST", path: on(name, "enable")}, 200)
		g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
		g.refused(request{path: on("bad", "decisions")}, 404, "known: "+name)
	}
	g.load(one, plainSite)
	inForce("one")
	g.load(two, plainSite)
	inForce("two")

	if err := g.tryLoad(named("bad", "/dev/null/store.db"), plainSite); err == nil || !strings.Contains(err.Error(), "/dev/null/store.db") {
		t.Fatalf("error %v, want one that names the store", err)
	}
	inForce("two")

	if err := g.tryLoad(named("bad", store), plainSite+"\n\tno_such_directive"); err == nil {
		t.Fatal("a config with an unknown directive was taken")
	}
	inForce("two")

	// Caddy starts apps in no fixed order: in some of these, the environments of the bad config have started.
	g.sites = "http://127.0.0.1:" + occupyPort(t) + " {\n\trespond hello\n}"
	for range 10 {
		if err := g.tryLoad(named("bad", store), plainSite); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Fatalf("error %v, want one about a port that is in use", err)
		}
		inForce("two")
	}
	g.sites = ""
	g.load(one, plainSite)
	inForce("one")
}

func TestAdminWithoutAnyEnvironment(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	g.reloaded = true
	if err := caddy.Load([]byte(`{"admin":{"listen":"`+g.admin+`","config":{"persist":false}}}`), true); err != nil {
		t.Fatal(err)
	}
	g.refused(request{path: "/byoa/health"}, 503, "no config with the app byoa is running")
	for _, e := range adminEndpoints {
		g.refused(request{method: e.method, path: e.path, body: e.body}, 503, "no config with the app byoa is running")
	}
	g.load(plainEnvironment, plainSite)
	g.ask(request{path: "/byoa/environments"}, 200)
}

// The page of a stranger that the operator's browser shows, and a name that leads to
// loopback, are Caddy's to refuse; nothing here may open what it closes.
func TestAdminKeepsCaddysProtections(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	for _, e := range adminEndpoints {
		for name, header := range map[string]http.Header{
			"another origin":         {"Origin": {"https://evil.example"}},
			"an opaque origin":       {"Origin": {"null"}},
			"a page without origin":  {"Sec-Fetch-Mode": {"navigate"}},
			"a page without reading": {"Sec-Fetch-Mode": {"no-cors"}, "Origin": {"http://" + g.admin}},
		} {
			r := request{method: e.method, path: e.path, body: e.body, header: header, at: g.admin}
			if got := g.do(r); got.status != 403 && got.status != 400 {
				t.Errorf("%s: %s %s: %d %s, want it refused", name, e.method, e.path, got.status, got.raw)
			}
		}
		g.ask(request{method: e.method, path: e.path, body: e.body, header: http.Header{"Origin": {"http://" + g.admin}}}, e.status)
	}
	req, err := http.NewRequest("POST", "http://"+g.admin+on("default", "disable"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "rebound.example:" + portOf(g.admin)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != 403 {
		t.Errorf("another host: %d, want 403", res.StatusCode)
	}
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
}
