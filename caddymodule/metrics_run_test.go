package caddymodule_test

import (
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

// scrape reads the metrics of this product from a /metrics of Caddy's.
func (g *running) scrape(at string) map[string]float64 {
	g.t.Helper()
	got := g.want(request{at: at, path: "/metrics", header: http.Header{"Accept": {"text/plain"}}}, 200, "")
	series := make(map[string]float64)
	for line := range strings.Lines(got.raw) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "} ")
		if !found || !strings.HasPrefix(name, "caddy_byoa_") {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			g.t.Fatalf("line %q: %v", line, err)
		}
		series[name+"}"] = number
	}
	return series
}

// counted is a gateway whose environment has the name, so that what other tests count is not its own.
func counted(t *testing.T, name string) (g *running, environment string) {
	t.Helper()
	g = prepare(t)
	g.admin = freeport.Address(t)
	environment = strings.Replace(plainEnvironment, "environment", "environment "+name, 1)
	g.load(environment, plainSite)
	return g, environment
}

func TestEveryMetricCounts(t *testing.T) {
	g, environment := counted(t, "counted")
	g.load(environment, strings.Replace(plainSite, "/closed ", "/both wallet:export wallet:sign\n /closed ", 1))
	begin, atFirst := time.Now(), g.scrape(g.admin)
	const (
		verifications = `caddy_byoa_verifications_total{environment="counted",result="%s"}`
		exchanges     = `caddy_byoa_exchanges_total{environment="counted",exchanger="local",result="%s"}`
		stepUps       = `caddy_byoa_step_up_total{environment="counted",result="%s",scope="%s"}`
		replays       = `caddy_byoa_replays_total{environment="counted"}`
		cache         = `caddy_byoa_cache_requests_total{cache="tokens",result="%s"}`
		stored        = `caddy_byoa_store_duration_seconds_count{operation="%s",store="file"}`
	)
	var session, elevated string
	sprint := fmt.Sprintf
	export := func(r request) request {
		r.method, r.path, r.bearer = "POST", "/wallets/1/export", session
		return r
	}
	for _, c := range []struct {
		name string
		do   func()
		want map[string]float64 // how much each of them grows
	}{
		{"a bad token", func() { g.want(request{path: "/wallets/1", bearer: "x"}, 401, "token_malformed") }, map[string]float64{
			sprint(verifications, "token_malformed"): 1, sprint(cache, "miss"): 1,
			`caddy_byoa_verify_duration_seconds_count{environment="counted"}`: 1,
		}},
		{"a sign-in", func() { session = g.signIn("alice") }, map[string]float64{
			sprint(verifications, "ok"): 1, sprint(exchanges, "ok"): 1, sprint(stored, "visit"): 1,
			`caddy_byoa_verify_duration_seconds_count{environment="counted"}`:                     1,
			`caddy_byoa_exchange_duration_seconds_count{environment="counted",exchanger="local"}`: 1,
		}},
		{"an elevation", func() { elevated = g.elevate(session, "alice", "wallet:export") }, map[string]float64{
			sprint(verifications, "ok"): 2, sprint(exchanges, "ok"): 1, sprint(stored, "use"): 1, // of the session token and of the assertion
		}},
		{"a route that needs a session alone", func() { g.want(request{path: "/wallets/1", bearer: session}, 200, "") }, map[string]float64{
			sprint(stepUps, "ok", ""): 0, sprint(exchanges, "ok"): 0, sprint(stored, "use"): 0,
		}},
		{"a step-up", func() { g.want(export(request{elevated: elevated}), 200, "") }, map[string]float64{
			sprint(stepUps, "ok", "wallet:export"): 1, sprint(stored, "use"): 1, replays: 0,
		}},
		{"the same elevated token again", func() { g.want(export(request{elevated: elevated}), 403, "elevated_used") }, map[string]float64{
			sprint(stepUps, "elevated_used", "wallet:export"): 1, sprint(stepUps, "ok", "wallet:export"): 0, replays: 1,
		}},
		{"an assertion twice", func() {
			r := export(request{assertion: g.assertion("alice", "wallet:export")})
			g.want(r, 200, "")
			g.want(r, 401, "replayed")
		}, map[string]float64{
			sprint(stepUps, "ok", "wallet:export"): 1, sprint(stepUps, "replayed", "wallet:export"): 1, replays: 1,
			sprint(exchanges, "ok"): 1, sprint(exchanges, "replayed"): 1,
		}},
		{"a route that needs two scopes", func() {
			both := request{path: "/both", bearer: session}
			g.want(both, 403, "step_up_required")
			both.elevated = g.elevate(session, "alice", "wallet:export wallet:sign")
			g.want(both, 200, "")
		}, map[string]float64{
			sprint(stepUps, "ok", "wallet:export"): 1, sprint(stepUps, "ok", "wallet:sign"): 1,
			sprint(stepUps, "step_up_required", "wallet:export"): 1, sprint(stepUps, "step_up_required", "wallet:sign"): 1,
		}},
		{"a route for nobody", func() { g.want(request{path: "/closed", bearer: session}, 403, "route_denied") }, map[string]float64{
			sprint(stepUps, "route_denied", ""): 1, sprint(stored, "use"): 0,
		}},
		{"a session that is revoked", func() {
			g.want(request{method: "POST", path: "/api/v0/sdk/" + environmentID + "/revoke", bearer: session}, 204, "")
		}, map[string]float64{sprint(stored, "use"): 0}},
	} {
		before := g.scrape(g.admin)
		c.do()
		after := g.scrape(g.admin)
		for name, want := range c.want {
			if got := after[name] - before[name]; got != want {
				t.Errorf("%s: %s grew by %v, want %v", c.name, name, got, want)
			}
		}
		if revoked := sprint(stored, "revoke"); c.name == "a session that is revoked" && after[revoked] <= before[revoked] {
			t.Errorf("%s: %s did not grow", c.name, revoked)
		}
	}
	for _, sum := range []string{
		`caddy_byoa_verify_duration_seconds_sum{environment="counted"}`,
		`caddy_byoa_exchange_duration_seconds_sum{environment="counted",exchanger="local"}`,
	} {
		// All this was done one after the other.
		if took, all := g.scrape(g.admin)[sum]-atFirst[sum], time.Since(begin).Seconds(); took <= 0 || took > all {
			t.Errorf("%s grew by %v while %v seconds went by", sum, took, all)
		}
	}
	g.wantHit(sprint(cache, "hit"))
	provider := sprint(`environment="counted",provider=%q`, g.issuer.URL())
	last := g.scrape(g.admin)
	if got := last["caddy_byoa_jwks_keys{"+provider+"}"]; got != 1 {
		t.Errorf("%v keys, want 1", got)
	}
	if got, ok := last["caddy_byoa_jwks_age_seconds{"+provider+"}"]; !ok || got < 0 || got > time.Hour.Seconds() {
		t.Errorf("the keys are %v seconds old (shown: %t)", got, ok)
	}
	if got := last["caddy_byoa_jwks_refreshes_total{"+provider+`,result="ok"}`]; got < 1 {
		t.Errorf("%v refreshes, want 1 or more", got)
	}
}

// wantHit waits until the memory, which takes a token up in its own time, has one.
func (g *running) wantHit(series string) {
	g.t.Helper()
	r := request{path: "/wallets/1", bearer: g.external("bob")}
	before := g.scrape(g.admin)[series]
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		g.want(r, 200, "")
		if g.scrape(g.admin)[series] > before {
			return
		}
	}
	g.t.Errorf("%s does not grow", series)
}

// A reload makes a new registry. What was counted is in it, and goes on counting; what is gone from the config is not.
func TestMetricsGoOnCountingAfterAReload(t *testing.T) {
	g, environment := counted(t, "reloaded")
	site := freeport.Address(t)
	g.sites = "http://" + site + ` {
	metrics
}`
	g.load(environment, plainSite)
	const signIns = `caddy_byoa_exchanges_total{environment="reloaded",exchanger="local",result="ok"}`
	before := g.scrape(g.admin)[signIns] // of an earlier run in this process
	g.signIn("alice")
	if got := g.scrape(g.admin)[signIns] - before; got != 1 {
		t.Fatalf("%v sign-ins, want 1", got)
	}
	for n := range 3 {
		g.load(environment, fmt.Sprintf("%s\n\theader X-Config %d", plainSite, n))
		g.signIn("alice")
		for name, at := range map[string]string{"admin": g.admin, "the metrics handler": site} {
			if got := g.scrape(at)[signIns] - before; got != float64(n+2) {
				t.Errorf("%s: after reload %d %v sign-ins, want %d", name, n+1, got, n+2)
			}
		}
	}
	keys := fmt.Sprintf(`caddy_byoa_jwks_keys{environment="reloaded",provider=%q}`, g.issuer.URL())
	renamed := strings.Replace(keys, "reloaded", "renamed", 1)
	if got := g.scrape(g.admin); got[keys] != 1 || got[renamed] != 0 {
		t.Errorf("before the environment is renamed: %v", got)
	}
	g.load(strings.Replace(environment, "reloaded", "renamed", 1), plainSite)
	pollUntil(t, "the keys of the renamed environment are there", func() bool { return g.scrape(g.admin)[renamed] == 1 })
	got := g.scrape(g.admin)
	if _, shown := got[keys]; shown {
		t.Errorf("after the environment was renamed: %v", got)
	}
	if got[signIns]-before != 4 {
		t.Errorf("%v sign-ins, want 4: a counter never goes back", got[signIns]-before)
	}
}

// Whoever can make up a label can fill the memory of the gateway, and of Prometheus.
func TestNoLabelIsWhatAClientChose(t *testing.T) {
	g, _ := counted(t, "hostile")
	session := g.signIn("alice")
	attack := func(word string) {
		for _, r := range []request{
			{path: "/" + word, bearer: session},
			{path: "/wallets/" + word, bearer: session},
			{method: strings.ToUpper(word), path: "/wallets/1", bearer: session},
			{path: "/wallets/1", bearer: word},
			{path: "/wallets/1", bearer: g.secret(g.issuer.Sign(map[string]any{"kid": word, "alg": "ES256"}, nil))},
			{path: "/wallets/1", bearer: g.external(word, map[string]any{"scope": word, "acr": word})},
			{path: "/wallets/1", bearer: g.external("alice", map[string]any{"iss": "https://" + word, "aud": word})},
			{method: "POST", path: "/wallets/1/export", bearer: session, elevated: word},
			{method: "POST", path: "/wallets/1/export", bearer: session, assertion: g.assertion("alice", word)},
			{method: "POST", path: "/wallets/1/export", bearer: session, assertion: g.assertion("alice", word+" wallet:export")},
			{method: "POST", path: "/api/v0/sdk/" + word + "/refresh"},
			{method: "POST", path: "/api/v0/sdk/" + environmentID + "/" + word},
			{method: "POST", path: "/api/v0/sdk/" + environmentID + "/externalAuth/verify", bearer: session, body: `{"jwt":"` + g.assertion("alice", word) + `"}`},
			{path: "/wallets/1", header: http.Header{"Origin": {"https://" + word}, "X-Forwarded-For": {word}}},
		} {
			g.do(r)
		}
	}
	attack("evil-a")
	first := g.scrape(g.admin)
	attack("evil-b")
	second := g.scrape(g.admin)
	for name := range second {
		if strings.Contains(strings.ToLower(name), "evil") {
			t.Errorf("series %s", name)
		}
		if _, known := first[name]; !known {
			t.Errorf("the same attack in other words made another series: %s", name)
		}
	}
	if len(second) < 20 || maps.Equal(first, second) {
		t.Errorf("%d series, which did not change: this test looks at nothing", len(second))
	}
}
