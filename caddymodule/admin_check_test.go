package caddymodule_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func TestAdminCheckNamesEveryRuleThatIsBroken(t *testing.T) {
	g := startAdmin(t, strings.Replace(plainEnvironment, "{{environment}}", "{{environment}}\n\t\t\tscope wallet:export", 1), plainSite)
	g.signIn("alice") // so that the issuer's keys are here: a check fetches none
	other := verifiertest.NewIssuer(t)
	wrong := g.secret(other.Token(map[string]any{"iss": g.issuer.URL(), "aud": "elsewhere", "exp": 1}))
	fetches := g.issuer.Fetches()
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"good JWT":          {`{"encodedJwt":"` + g.external("alice") + `"}`, nil},
		"three faults":      {`{"encodedJwt":"` + wrong + `"}`, []string{"expired", "audience_mismatch", "key_not_found"}},
		"no token":          {`{"encodedJwt":"garbage"}`, []string{"token_malformed"}},
		"good assertion":    {`{"assertion":"` + g.assertion("alice", "wallet:export") + `","subject":"alice"}`, nil},
		"somebody else's":   {`{"assertion":"` + g.assertion("alice", "wallet:export") + `","subject":"bob"}`, []string{"subject_mismatch"}},
		"scope not allowed": {`{"assertion":"` + g.assertion("alice", "wallet:burn") + `","subject":"alice"}`, []string{"scope_not_allowed"}},
	} {
		got := g.ask(request{method: "POST", path: on("default", "check"), body: c.body}, 200)
		var codes []string
		for _, code := range got.body["errors"].([]any) {
			codes = append(codes, code.(string))
		}
		if !slices.Equal(codes, c.want) || got.body["valid"] != (c.want == nil) {
			t.Errorf("%s: %s, want the errors %v", name, got.raw, c.want)
		}
		if checks := got.body["checks"].([]any); len(checks) < 4 && name != "no token" {
			t.Errorf("%s: %d checks, want one for each rule: %s", name, len(checks), got.raw)
		}
	}
	if n := g.issuer.Fetches() - fetches; n != 0 {
		t.Errorf("checking fetched the keys %d times, want 0", n)
	}
}

// Asking uses nothing up, in an environment that is switched off as well.
func TestAdminCheckSpendsNothing(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	session, assertion := g.signIn("alice"), g.assertion("alice", "wallet:export")
	ask := request{method: "POST", path: on("default", "check"), body: `{"assertion":"` + assertion + `","subject":"alice"}`}
	for range 3 {
		if got := g.ask(ask, 200); got.body["valid"] != true {
			t.Fatalf("answer %s, want it valid", got.raw)
		}
	}
	g.turn("disable", isOff)
	if got := g.ask(ask, 200); !strings.Contains(got.raw, `"errors":["external_auth_disabled"]`) {
		t.Errorf("answer %s, want external_auth_disabled alone", got.raw)
	}
	g.turn("enable", isOn)
	g.want(request{method: "POST", path: "/wallets/1/export", bearer: session, assertion: assertion}, 200, "")
	g.want(request{method: "POST", path: "/wallets/1/export", bearer: session, assertion: assertion}, 401, "replayed")
}

func TestAdminCheckRefusesBadQuestions(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	token := g.external("alice")
	good := `{"encodedJwt":"` + token + `"}`
	r := request{method: "POST", path: on("default", "check")}
	for name, c := range map[string]struct {
		body   string
		header http.Header
		why    string
	}{
		"no body":        {"", http.Header{"Content-Type": {"application/json"}}, "must be a JSON object"},
		"no JSON":        {token, nil, "must be a JSON object"},
		"an array":       {`["` + token + `"]`, nil, "must be a JSON object"},
		"a number":       {`{"encodedJwt":1}`, nil, "must be a JSON object"},
		"neither":        {`{"jwt":"` + token + `"}`, nil, "either encodedJwt, or assertion"},
		"both":           {`{"encodedJwt":"` + token + `","assertion":"` + token + `"}`, nil, "either encodedJwt, or assertion"},
		"no type":        {good, http.Header{"Content-Type": nil}, "must be application/json"},
		"plain text":     {good, http.Header{"Content-Type": {"text/plain"}}, "must be application/json"},
		"a form":         {"encodedJwt=" + token, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "must be application/json"},
		"65537 bytes":    {good + strings.Repeat(" ", 64<<10+1-len(good)), nil, "larger than 65536 bytes"},
		"128 KiB":        {`{"encodedJwt":"` + strings.Repeat("a", 128<<10) + `"}`, nil, "larger than 65536 bytes"},
		"a broken UTF-8": {"\xff{}", nil, "must be a JSON object"},
	} {
		r.body, r.header = c.body, c.header
		got := g.refused(r, 400, c.why)
		if len(got.raw) > 500 {
			t.Errorf("%s: an error of %d bytes, want it short", name, len(got.raw))
		}
	}
	r.body, r.header = good+strings.Repeat(" ", 64<<10-len(good)), nil
	g.ask(r, 200)
}
