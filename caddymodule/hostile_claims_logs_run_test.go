package caddymodule_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

// sayings are what a person or a token may say of itself, and a log repeat.
type sayings struct{ sub, jti, scope, iss, aud, kid, alg, typ string }

// forgedLine is text that, written out, would be a line of the audit log, whatever it is that
// ends a line for whoever reads it, and would do something to a terminal.
const forgedLine = "\r\n" + `{"level":"info","logger":"byoa.audit","msg":"granted","user":"root"}` + "\r\n\x00\u0085\u2028\u2029\x1b[2J\x7f\"}\\"

// A user who may choose their own name would write a line into the log with it: that
// somebody else was let on, or nothing that a program can read (CVE-2024-21499).
func TestClaimCannotWriteALogLine(t *testing.T) {
	a := newAudited(t, "json")
	a.admin = freeport.Address(t)
	access := filepath.Join(a.storage(), "access.log")
	a.load(plainEnvironment, `log {
		output file `+access+`
		format byoa
	}
	log_append who {http.auth.user.external_id}
	log_append name {byoa.claims.name}
	`+plainSite)
	plain := sayings{"alice", "1", "two  spaces", "issuer", "audience", "key", "XS256", "some"}
	hostile := sayings{
		"bob" + forgedLine, "2" + forgedLine, "x" + forgedLine, "i" + forgedLine,
		"a" + forgedLine, "k" + forgedLine, "X" + forgedLine, "t" + forgedLine,
	}
	var counts [][2]int
	for _, said := range []sayings{plain, hostile} {
		before := len(linesOf(t, access))
		lines := a.told(func() { a.tell(said) })
		requests := linesOf(t, access)[before:]
		counts = append(counts, [2]int{len(lines), len(requests)})
		if !slices.ContainsFunc(lines, func(l map[string]any) bool { return l["external_id"] == said.sub && l["code"] == nil }) {
			t.Errorf("no line of the audit log has the external id %q: %v", said.sub, lines)
		}
		if !slices.ContainsFunc(requests, func(l map[string]any) bool { return l["who"] == said.sub && l["name"] == said.sub }) {
			t.Errorf("no line of the access log has %q: %v", said.sub, requests)
		}
		a.wantDecided(said)
	}
	if counts[0] != counts[1] || counts[0][0] == 0 || counts[0][1] == 0 {
		t.Errorf("the audit log and the access log have %v lines more for plain claims, and %v for hostile ones", counts[0], counts[1])
	}
	linesOf(t, a.logFile) // each of them is JSON
	for _, file := range []string{a.file, access, a.logFile} {
		log, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(string(log), func(r rune) bool { return r < ' ' && r != '\n' }) {
			t.Errorf("%s holds control characters, which a terminal obeys", filepath.Base(file))
		}
	}
}

// tell sends one request for each place in which something is said.
func (a *audited) tell(said sayings) {
	a.t.Helper()
	const verify = "/api/v0/sdk/" + environmentID + "/externalAuth/verify"
	external := a.external(said.sub, map[string]any{"name": said.sub})
	a.want(request{path: "/wallets/1", bearer: external}, 200, "")
	session := strings.TrimPrefix(a.upstream.last(a.t).Header.Get("Authorization"), "Bearer ")

	assert := func(scope string, more map[string]any) request {
		quoted, err := json.Marshal(map[string]string{"jwt": a.secret(a.issuer.Assertion(said.sub, scope, more))})
		if err != nil {
			a.t.Fatal(err)
		}
		return request{method: "POST", path: verify, bearer: session, body: string(quoted)}
	}
	once := assert("wallet:sign", map[string]any{"jti": said.jti})
	a.secret(a.want(once, 200, "").body["elevatedAccessToken"].(string))
	a.want(once, 422, "invalid_external_auth")
	a.want(assert(said.scope, nil), 422, "invalid_external_auth")

	for _, c := range []struct {
		header, claims map[string]any
		code           string
	}{
		{nil, map[string]any{"iss": said.iss}, "issuer_mismatch"},
		{nil, map[string]any{"aud": said.aud}, "audience_mismatch"},
		{map[string]any{"kid": said.kid}, nil, "key_not_found"},
		{map[string]any{"alg": said.alg}, nil, "algorithm_not_allowed"},
	} {
		claims := claimsOf(a.t, external)
		for name, value := range c.claims {
			claims[name] = value
		}
		a.want(request{path: "/wallets/1", bearer: a.secret(a.issuer.Sign(c.header, claims))}, 401, c.code)
	}
	a.want(request{path: "/wallets/1", bearer: a.secret(a.issuer.Sign(map[string]any{"typ": said.typ}, claimsOf(a.t, external)))}, 200, "")
}

// wantDecided fails the test unless the admin API tells of what was said, word for word.
func (a *audited) wantDecided(said sayings) {
	a.t.Helper()
	var decisions []struct {
		ExternalID string `json:"external_id"`
		JTI        string `json:"jti"`
		Result     string `json:"result"`
	}
	if err := json.Unmarshal([]byte(a.ask(request{path: on("default", "decisions")}, 200).raw), &decisions); err != nil {
		a.t.Fatal(err)
	}
	exchanged, replayed := false, false
	for _, d := range decisions {
		exchanged = exchanged || d.ExternalID == said.sub && d.Result == "ok"
		replayed = replayed || d.JTI == said.jti && d.Result == "replayed"
	}
	if !exchanged || !replayed {
		a.t.Errorf("the admin API tells nothing of %q: %v", said.sub, decisions)
	}
}
