package caddymodule_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// isUp is the outage that is none.
const isUp = "is up"

// outages are ways of an issuer not to be there.
var outages = map[string]func(g *running, front *httptest.Server){
	"answers 503": func(g *running, _ *httptest.Server) { g.issuer.Fail(true) },
	"is gone":     func(_ *running, front *httptest.Server) { front.Close() },
	isUp:          func(*running, *httptest.Server) {},
}

// reloading is a config that takes the place of another one while its issuer is down.
type reloading struct {
	name  string
	lines func(keys string) []string // of the environment, given where its keys are
	site  string
	known bool // whether it knows the keys from the config before
}

func reloadings() []reloading {
	const site = plainSite + "\n\theader X-Config two"
	lines := func(more ...string) func(string) []string {
		return func(keys string) []string { return append(more, "jwks_url "+keys) }
	}
	return []reloading{
		{name: "of the same config", lines: lines(), site: plainSite, known: true},
		{name: "that changes the site", lines: lines(), site: site, known: true},
		{name: "that forgets what was verified", lines: lines("cache_size 8MiB", "leeway 10s"), site: site, known: true},
		{name: "that changes what is minted", lines: lines("exchange local {\nalgorithm EdDSA\n}"), site: site, known: true},
		{name: "that has other keys", lines: func(keys string) []string { return []string{"jwks_url " + keys + "?other"} }, site: site},
	}
}

func (r reloading) run(t *testing.T, outage string) {
	g := prepare(t)
	front := httptest.NewServer(passing(g.issuer.JWKSURL()))
	t.Cleanup(front.Close)
	g.load(g.keysBy("jwks_url "+front.URL), plainSite)
	alice := request{path: "/wallets/1", bearer: g.external("alice")}
	g.want(alice, 200, "")

	outages[outage](g, front)
	g.load(g.keysBy(r.lines(front.URL)...), r.site)
	for _, user := range []string{"alice", "bob"} { // who was here before, and who was not
		who := request{path: "/wallets/1", bearer: g.external(user)}
		if user == "alice" {
			who = alice
		}
		if r.known || outage == isUp {
			g.want(who, 200, "")
			continue
		}
		before := g.upstream.count()
		g.want(who, 503, "keys_unavailable").mustSayWhenToRetry(t)
		if g.upstream.count() != before {
			t.Errorf("%s went through", user)
		}
	}
	if r.known {
		g.want(request{path: "/wallets/1", bearer: g.external("alice", map[string]any{"aud": "another"})}, 401, "audience_mismatch")
	}
}

// passing serves what is at another URL.
func passing(url string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, url, nil)
		if err != nil {
			panic(err)
		}
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		got, _ := readResponse(res)
		w.WriteHeader(got.status)
		_, _ = w.Write([]byte(got.raw))
	}
}

func (r response) mustSayWhenToRetry(t *testing.T) {
	t.Helper()
	if wait, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 {
		t.Errorf("Retry-After %q, want a second to a minute", r.header.Get("Retry-After"))
	}
}

// Whoever reloads a gateway while the login system is down must not throw everybody out: that
// a key is unknown is no verdict about a token where nobody could have known it.
func TestReloadWhileTheIssuerIsDown(t *testing.T) {
	for outage := range outages {
		for _, r := range reloadings() {
			t.Run("issuer "+outage+", reload "+r.name, func(t *testing.T) { r.run(t, outage) })
		}
	}
}

// A config that adds an environment during an outage knows no keys for that one. It takes no
// token there, says so rightly, leaves the other one alone, and heals by itself.
func TestReloadThatAddsAnEnvironmentWhileItsIssuerIsDown(t *testing.T) {
	g, first, second := twoTenants(t)
	g.load(first.environment(), strings.ReplaceAll(plainSite, "byoa\n", "byoa first\n"))
	alice := first.read(first.externalJWT("alice"))
	g.want(alice, 200, "")

	first.issuer.Fail(true)
	second.issuer.Fail(true)
	loadTenants(g, first, second)
	g.want(alice, 200, "")
	g.want(first.read(first.externalJWT("bob")), 200, "")
	before := g.upstream.count()
	carol := second.read(second.externalJWT("carol"))
	g.want(carol, 503, "keys_unavailable").mustSayWhenToRetry(t)
	g.want(second.endpoint("externalAuth/signin", "", second.externalJWT("carol")), 503, "keys_unavailable")
	g.want(second.read(first.externalJWT("alice")), 401, "issuer_mismatch")
	if g.upstream.count() != before {
		t.Error("a request went through")
	}
	second.issuer.Fail(false)
	pollUntil(t, "it heals by itself", func() bool { return g.do(carol).status == 200 })
}
