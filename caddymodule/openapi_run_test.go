package caddymodule_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// walletAPI is the document of most tests here.
func walletAPI(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "openapi", "wallets.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// startDocumented runs a gateway whose table is written in lines and in a document.
func startDocumented(t *testing.T, document, lines string) *running {
	t.Helper()
	g := prepare(t)
	file := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	g.load(plainEnvironment, `byoa_api
	byoa
	step_up {
		openapi `+file+`
		`+lines+`
	}
	reverse_proxy {{upstream}}`)
	return g
}

// documentedCase is a request with a session, and the scopes that it turns out to need.
type documentedCase struct {
	method, path string
	needs        string // "-": a session is enough; "deny"
}

func (c documentedCase) run(t *testing.T, g *running, session string) {
	t.Helper()
	r := request{method: c.method, path: c.path, bearer: session}
	got := g.do(r)
	if c.method == "HEAD" {
		// No body says why: the status and the challenge do.
		got.code = map[string]string{"-": "", "deny": "route_denied"}[c.needs]
		if c.needs != "-" && c.needs != "deny" {
			got.code = "step_up_required"
			got.body = map[string]any{"scope": scopeOf(got.header.Get("WWW-Authenticate"))}
		}
	}
	switch c.needs {
	case "-":
		if got.status != 200 {
			t.Errorf("%s %s: %d %s, want 200", c.method, c.path, got.status, got.code)
		}
	case "deny":
		if got.status != 403 || got.code != "route_denied" {
			t.Errorf("%s %s: %d %s, want 403 route_denied", c.method, c.path, got.status, got.code)
		}
	default:
		if got.status != 403 || got.code != "step_up_required" || got.body["scope"] != c.needs {
			t.Errorf("%s %s: %d %s for %v, want 403 step_up_required for %s", c.method, c.path, got.status, got.code, got.body["scope"], c.needs)
		}
		r.elevated = g.elevate(session, "alice", c.needs)
		if got := g.do(r); got.status != 200 {
			t.Errorf("%s %s with %s: %d %s, want 200", c.method, c.path, c.needs, got.status, got.code)
		}
	}
}

func scopeOf(challenge string) string {
	_, scope, _ := strings.Cut(challenge, `scope="`)
	scope, _, _ = strings.Cut(scope, `"`)
	return scope
}

func TestRequestsNeedWhatTheDocumentSays(t *testing.T) {
	g := startDocumented(t, walletAPI(t), "GET /status -\n/v1/wallets/{id}/export deny")
	session := g.signIn("alice")
	for _, c := range []documentedCase{
		{"GET", "/v1/wallets", "-"},
		{"GET", "/v1/wallets/1", "wallet:read"},
		{"DELETE", "/v1/wallets/1", "wallet:burn audit"},
		{"POST", "/v1/wallets/1/export/", "wallet:export"},
		{"GET", "/v1/wallets/mine", "-"},
		{"GET", "/status", "-"}, // a written line
		{"PUT", "/v1/wallets/1/export", "deny"},

		// Other spellings, and the method that comes with GET.
		{"HEAD", "/v1/wallets", "-"},
		{"HEAD", "/v1/wallets/1", "wallet:read"},
		{"GET", "/V1/Wallets/1/", "wallet:read"},
		{"POST", "/v1/wallets/1/Export", "wallet:export"},
		{"POST", "/v1/wallets/1/%65xport", "wallet:export"},
		{"GET", "/v1/wallets/", "-"},

		// What is not in the document.
		{"GET", "/wallets/1", "deny"}, // lacks the base
		{"GET", "/v2/wallets/1", "deny"},
		{"POST", "/v1/wallets/1", "deny"},
		{"OPTIONS", "/v1/wallets/1", "deny"},
		{"POST", "/v1/wallets/1/export/x", "deny"}, // a slash at the end makes no subtree
		{"GET", "/v1/", "deny"},
		{"HEAD", "/v1/wallets/1/export", "deny"},
	} {
		c.run(t, g, session)
	}
	g.want(request{path: "/v1/wallets"}, 401, "token_missing") // "security: []" is open to nobody without a session
	g.want(request{path: "/v1/wallets/..%2f..%2fwallets", bearer: session}, 400, "ambiguous_path")
}

func TestDefaultOfATableHoldsBesideADocument(t *testing.T) {
	g := startDocumented(t, walletAPI(t), "default session")
	session := g.signIn("alice")
	for _, c := range []documentedCase{
		{"GET", "/elsewhere", "-"},
		{"POST", "/v1/wallets/1", "-"},
		{"GET", "/v1/wallets/1", "wallet:read"},
		{"POST", "/V1/WALLETS/1/EXPORT", "wallet:export"},
	} {
		c.run(t, g, session)
	}
}

// A config whose document cannot be trusted never starts, and the one before it goes on.
func TestConfigWithABadDocumentIsRefused(t *testing.T) {
	g := startDocumented(t, walletAPI(t), "")
	session, wallets := g.signIn("alice"), walletAPI(t)
	dir := t.TempDir()
	for _, c := range []struct{ name, document, lines, want string }{
		{"alternatives", strings.Replace(wallets, "{oauth: [wallet:burn], second: [audit]}", "{oauth: [wallet:burn]}, {second: [audit]}", 1), "", "DELETE /wallets/{id}: security: has 2 alternatives"},
		{"a part of a segment", strings.Replace(wallets, "/wallets/{id}/export/", "/wallets/{id}.json", 1), "", "POST /wallets/{id}.json: "},
		{"a malformed scope", strings.Replace(wallets, "wallet:export", `"wallet export"`, 1), "", "POST /wallets/{id}/export/: security: oauth: malformed scope"},
		{"Swagger 2.0", strings.Replace(wallets, "openapi: 3.0.3", `swagger: "2.0"`, 1), "", "is Swagger 2.0"},
		{"invalid YAML", strings.Replace(wallets, "info: {", "info: [", 1), "", "yaml: line"},
		{"a line that is written too", wallets, "GET /v1/wallets/{any} -", `patterns "GET /v1/wallets/{any}" and "GET /v1/wallets/{id}" of `},
		{"no file", "", "", "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(dir, strings.ReplaceAll(c.name, " ", "_")+".yaml")
			if c.document != "" {
				if err := os.WriteFile(file, []byte(c.document), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := g.tryLoad(plainEnvironment, "byoa\n\tstep_up {\n\t\topenapi "+file+"\n\t\t"+c.lines+"\n\t}\n\treverse_proxy {{upstream}}")
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("error %v, want one that names the file and says %q", err, c.want)
			}
		})
	}
	documentedCase{"GET", "/v1/wallets/1", "wallet:read"}.run(t, g, session)
}

// The name of the file may come from the environment, as in other values of a config.
func TestDocumentByPlaceholder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(file, []byte(walletAPI(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	g := prepare(t)
	site := "byoa_api\n\tbyoa\n\tstep_up {\n\t\topenapi {env.BYOA_TEST_DOCUMENT}\n\t}\n\treverse_proxy {{upstream}}"
	if err := g.tryLoad(plainEnvironment, site); err == nil || !strings.Contains(err.Error(), "BYOA_TEST_DOCUMENT") {
		t.Errorf("error %v, want one that names the variable", err)
	}
	t.Setenv("BYOA_TEST_DOCUMENT", file)
	g.load(plainEnvironment, site)
	documentedCase{"GET", "/v1/wallets/1", "wallet:read"}.run(t, g, g.signIn("alice"))
}
