package caddymodule_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A scope with a typing error in it is asked for and granted to nobody: the route would be shut, and
// the first to learn of it a user.
func TestScopeThatNobodyGrantsIsWarnedAboutByName(t *testing.T) {
	document := filepath.Join(t.TempDir(), "api.json")
	text := `{"openapi": "3.0.0", "components": {"securitySchemes": {"oauth": {"type": "oauth2"}}}, "paths": {"/docs": {"get": {"security": [{"oauth": ["doc:typo"]}]}}}}`
	if err := os.WriteFile(document, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const second = "environment second {\n issuer https://second.example.com\n jwks_url https://second.example.com/keys\n audience b\n store memory\n {{scope}}\n}"
	const elsewhere = "handle /second/* {\n byoa second\n}"
	for _, c := range []struct {
		name, scopes, second, stepUp, site string
		want                               []string
	}{
		{"every one is granted", "scope wallet:export", "", "step_up wallet:export", "", nil},
		{"one is not", "scope wallet:export", "", "step_up wallet:exprot", "", []string{"wallet:exprot"}},
		{"any may be asked for", "", "", "step_up wallet:exprot", "", nil},
		{"of a table", "scope wallet:export", "", "step_up {\n GET /a wallet:export a:typo\n /b b:typo\n /c -\n /d deny\n}", "", []string{"a:typo", "b:typo"}},
		{"of a document", "scope wallet:export", "", "step_up {\n openapi " + document + "\n}", "", []string{"doc:typo"}},
		{"another environment grants it", "scope wallet:export", "scope wallet:exprot", "step_up wallet:exprot", elsewhere, nil},
		{"another environment grants any", "scope wallet:export", "scope_less", "step_up wallet:exprot", elsewhere, nil},
		{"one that no gate is of grants it", "scope wallet:export", "scope wallet:exprot", "step_up wallet:exprot", "", []string{"wallet:exprot"}},
		{"two do not grant it", "scope wallet:export", "scope other", "step_up wallet:exprot", elsewhere, []string{"wallet:exprot"}},
		{"only reported", "scope wallet:export", "", "step_up wallet:exprot {\n report_only\n}", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := prepare(t)
			environments := strings.Replace(plainEnvironment, "{{environment}}", "{{environment}}\n"+c.scopes, 1)
			if c.second != "" {
				environments += "\n" + strings.Replace(second, "{{scope}}", strings.Replace(c.second, "scope_less", "", 1), 1)
			}
			g.load(environments, "byoa default\n"+c.stepUp+"\nreverse_proxy {{upstream}}\n"+c.site)
			log, err := os.ReadFile(g.logFile)
			if err != nil {
				t.Fatal(err)
			}
			var warned []string
			for line := range strings.Lines(string(log)) {
				if _, rest, found := strings.Cut(line, "no environment of a byoa grants the scope "); found {
					name, _, _ := strings.Cut(rest, ",")
					warned = append(warned, name)
				}
			}
			if strings.Join(warned, " ") != strings.Join(c.want, " ") {
				t.Errorf("warned about %q, want %q", warned, c.want)
			}
		})
	}
}
