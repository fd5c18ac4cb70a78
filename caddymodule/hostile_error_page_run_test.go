package caddymodule_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// A refusal that an error page answers with the files of the site is none: the status says
// 401, and the body is what was asked for. So a refusal here has a body of its own, whatever
// error routes there are, unless `pass_errors` asks for them.
func TestErrorPageDoesNotShowTheSite(t *testing.T) {
	for pass, shown := range map[string]bool{"": false, "pass_errors": true} {
		t.Run("byoa "+pass, func(t *testing.T) {
			g := prepare(t)
			files := filepath.Join(g.storage(), "site")
			for _, path := range []string{"closed", "wallets/1"} {
				file := filepath.Join(files, path)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte("the secret page"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			g.load(plainEnvironment, strings.NewReplacer("\tbyoa\n", "\tbyoa {\n"+pass+"\n}\n", "reverse_proxy {{upstream}}", "file_server").Replace(plainSite)+`
	root * `+files+`
	handle_errors {
		file_server
	}`)
			session := g.signIn("alice")
			g.want(request{path: "/wallets/1", bearer: session}, 200, "") // who may see it does
			for name, c := range map[string]struct {
				request
				status int
				code   string
			}{
				"nobody":        {request{path: "/wallets/1"}, 401, "token_missing"},
				"a bad token":   {request{path: "/wallets/1", bearer: "bad"}, 401, "token_malformed"},
				"a closed path": {request{path: "/closed", bearer: session}, 403, "route_denied"},
			} {
				got := g.do(c.request)
				if got.status != c.status || (got.raw == "the secret page") != shown || !shown && got.code != c.code {
					t.Errorf("%s: %d %s", name, got.status, got.raw)
				}
				if !shown && (got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store") {
					t.Errorf("%s: header %v", name, got.header)
				}
				c.method = "HEAD"
				if got := g.do(c.request); got.status != c.status || got.raw != "" || got.header.Get("Etag") != "" != shown {
					t.Errorf("HEAD, %s: %d %q %v", name, got.status, got.raw, got.header)
				}
			}
		})
	}
}

// What the documents show is what people run: no `handle_errors` in them serves files, or
// asks the upstream.
func TestDocumentsServeNoFilesOnErrors(t *testing.T) {
	configs := snippets(t, "caddyfile")
	for _, pattern := range []string{"../Caddyfile*", "../examples/*/Caddyfile*", "../e2e/*/Caddyfile*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			configs = append(configs, string(b))
		}
	}
	looked := 0
	for _, config := range configs {
		looked += strings.Count(config, "handle_errors")
		if served := servedOnErrors(t, config); len(served) > 0 {
			t.Errorf("on errors, %q in\n%s", served, config)
		}
	}
	if looked == 0 {
		t.Error("no document has handle_errors: this test looks at nothing")
	}
	bad := "example.com {\n\thandle_errors 401 {\n\t\trewrite * /{err.status_code}.html\n\t\troute {\n\t\t\tfile_server\n\t\t}\n\t}\n\treverse_proxy localhost:1\n}\n"
	if served := servedOnErrors(t, bad); !slices.Equal(served, []string{"file_server"}) {
		t.Errorf("in the control, %q", served)
	}
}

// showsSite are the directives whose answer is the site's.
var showsSite = regexp.MustCompile(`^(file_server|try_files|reverse_proxy|php_fastcgi|forward_auth|templates|import|invoke)$`)

// servedOnErrors are such directives within handle_errors.
func servedOnErrors(t *testing.T, config string) (served []string) {
	t.Helper()
	tokens, err := caddyfile.Tokenize([]byte(config), "Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	depth, within, line := 0, 0, 0 // within: the depth outside of handle_errors, and one more
	for _, token := range tokens {
		first := token.Line != line
		line = token.Line
		switch {
		case token.Text == "{":
			depth++
		case token.Text == "}":
			if depth--; within > 0 && depth < within {
				within = 0
			}
		case first && token.Text == "handle_errors" && within == 0:
			within = depth + 1
		case first && within > 0 && showsSite.MatchString(token.Text):
			served = append(served, token.Text)
		}
	}
	return served
}
