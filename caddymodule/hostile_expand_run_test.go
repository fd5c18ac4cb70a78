package caddymodule_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// expandSite hands what a token says to whatever of Caddy takes placeholders: matchers,
// variables, maps, rewrites, headers, answers, redirects, logs and error routes.
const expandSite = `route {
		@config path /config
		header @config {
			>X-Env {env.BYOA_TEST_SECRET}
			>X-File {file.{{file}}}
		}
		log_append who {http.auth.user.external_id}
		log_append name {byoa.claims.name}
		byoa {
			token_header X-Session
			claim_header X-External external_id
			claim_header X-Name name
			pass_errors
		}
		step_up /scoped wallet:sign
		vars {
			who {http.auth.user.external_id}
			name {byoa.claims.name}
		}
		map {byoa.claims.name} {mapped} {
			~(.*) "${1}"
		}
		@regexp vars_regexp placeholder {http.auth.user.external_id} ^(.*)$
		header @regexp >X-Regexp {re.placeholder.1}
		@variable vars_regexp variable name ^(.*)$
		header @variable >X-Variable {re.variable.1}
		@sent header_regexp sent X-Name ^(.*)$
		header @sent >X-Sent {re.sent.1}
		@leak {
			not vars name "{byoa.claims.name}"
		}
		header @leak >X-Leak "vars compared something else"
		@placeholder vars {byoa.claims.name} {{secret}}
		header @placeholder >X-Leak "a placeholder in vars"
		@var vars who {{secret}}
		header @var >X-Leak "a variable in vars"
		@search vars_regexp {http.auth.user.external_id} {{secret}}
		header @search >X-Leak "a placeholder in vars_regexp"
		@searchvar vars_regexp name {{secret}}
		header @searchvar >X-Leak "a variable in vars_regexp"
		header {
			>X-External {http.auth.user.external_id}
			>X-Email {http.auth.user.email}
			>X-Name {byoa.claims.name}
			>X-Inner {byoa.claims.profile.name}
			>X-Header {http.request.header.X-Name}
			>X-Vars {vars.who}
			>X-Mapped {mapped}
		}
		respond /respond "{byoa.claims.name} {http.auth.user.external_id} {vars.name}"
		redir /redir /to?name={byoa.claims.name} 303
		rewrite /rewrite /rewritten/{byoa.claims.name}?name={http.auth.user.external_id}
		reverse_proxy /dead 127.0.0.1:1
		reverse_proxy {{upstream}} {
			header_up X-Up "{http.auth.user.external_id} {byoa.claims.name} {http.request.header.X-Name}"
			header_up X-Up-Scope {http.auth.user.scope}
			header_down X-Down {byoa.claims.name}
		}
	}
	handle_errors {
		respond "{byoa.claims.name} {http.auth.user.external_id} {http.error.message}"
	}`

// Caddy expanded placeholders in what a placeholder had stood for (CVE-2026-30852): a user whose
// name is {env.SECRET} was told it. A name is what it is, wherever a config puts it.
func TestClaimIsNeverExpanded(t *testing.T) {
	const secret = "value-of-the-environment"
	t.Setenv("BYOA_TEST_SECRET", secret)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("content-of-the-file"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := start(t, plainEnvironment, strings.NewReplacer("{{file}}", file, "{{secret}}", secret).Replace(expandSite))
	for _, text := range []string{
		"{env.BYOA_TEST_SECRET}", "{$BYOA_TEST_SECRET}", "{file." + file + "}", "{http.request.header.X-Session}", "{http.request.cookie.ext}",
		"{http.auth.user.session}", "{byoa.claims.iss}", "{vars.name}", "{re.variable.1}", `\{env.BYOA_TEST_SECRET\}`, "{{env.BYOA_TEST_SECRET}}",
		"${1}", "{env.BYOA_TEST_SECRET:default}", `{{env "BYOA_TEST_SECRET"}}`, "{system.hostname}",
	} {
		g.wantLiteral(t, text)
	}
	log, err := os.ReadFile(g.logFile)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(log), secret) || strings.Contains(string(log), "content-of-the-file") {
		t.Error("the log holds what a claim asked for")
	}
	got := g.want(request{path: "/config", bearer: g.external("alice")}, 200, "")
	if env, content := got.header.Get("X-Env"), got.header.Get("X-File"); env != secret || content != "content-of-the-file" {
		t.Errorf("the config's own placeholders stand for %q and %q, so this test shows nothing", env, content)
	}
}

// wantLiteral fails the test unless a user who is called text is called so everywhere.
func (g *running) wantLiteral(t *testing.T, text string) {
	t.Helper()
	email := `"` + text + `"@example.com`
	claims := map[string]any{"name": text, "profile": map[string]any{"name": text}, "email": email, "emailVerified": true}
	external := g.external(text, claims)
	before := len(linesOf(t, g.logFile))

	got := g.want(request{path: "/", bearer: external}, 200, "")
	for _, name := range []string{
		"X-External", "X-Name", "X-Inner", "X-Header", "X-Vars", "X-Mapped", "X-Regexp", "X-Variable", "X-Sent", "X-Down",
	} {
		if got.header.Get(name) != text {
			t.Errorf("%s: the answer has %s %q", text, name, got.header.Get(name))
		}
	}
	if said := got.header.Get("X-Email"); said != email {
		t.Errorf("%s: the answer has the address %q", text, said)
	}
	if leak := got.header["X-Leak"]; leak != nil {
		t.Errorf("%s: a matcher has taken it for what it asks for: %s", text, leak)
	}
	up := g.upstream.last(t).Header
	if up.Get("X-External") != text || up.Get("X-Name") != text || up.Get("X-Up") != text+" "+text+" "+text {
		t.Errorf("%s: the upstream got %v", text, up)
	}
	for _, line := range linesOf(t, g.logFile)[before:] {
		if line["logger"] == "http.log.access" && (line["who"] != text || line["name"] != text) {
			t.Errorf("%s: the access log has %v and %v", text, line["who"], line["name"])
		}
	}

	if got := g.want(request{path: "/respond", bearer: external}, 200, ""); got.raw != text+" "+text+" "+text {
		t.Errorf("%s: answered with %q", text, got.raw)
	}
	if location := g.want(request{path: "/redir", bearer: external}, 303, "").header.Get("Location"); location != "/to?name="+text {
		t.Errorf("%s: redirected to %q", text, location)
	}
	g.want(request{path: "/rewrite", bearer: external}, 200, "")
	if u := g.upstream.last(t).URL; u.Path != "/rewritten/"+text || u.Query().Get("name") != text {
		t.Errorf("%s: rewritten to %s", text, u)
	}
	if !strings.ContainsAny(text, ` "\`) { // else it is no scope (RFC 6749 section 3.3)
		g.want(request{path: "/scoped", bearer: external, assertion: g.assertion(text, "wallet:sign "+text)}, 200, "")
		if scope := g.upstream.last(t).Header.Get("X-Up-Scope"); scope != "wallet:sign "+text {
			t.Errorf("%s: the upstream got the scope %q", text, scope)
		}
	}
	if got := g.want(request{path: "/dead", bearer: external}, 502, ""); !strings.HasPrefix(got.raw, text+" "+text+" ") {
		t.Errorf("%s: the error route says %q", text, got.raw)
	}
	stranger := g.secret(g.issuer.Token(map[string]any{"iss": text}))
	begins := strconv.Quote(text) // a long one is cut
	if got := g.want(request{path: "/", bearer: stranger}, 401, ""); !strings.Contains(got.raw, begins[:min(len(begins), 60)]) {
		t.Errorf("%s: the error route says %q", text, got.raw)
	}
}
