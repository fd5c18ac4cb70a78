package caddymodule_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// claim reads one out of a token that the gateway minted.
func claim(t *testing.T, token, name string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	value, _ := claims[name].(string)
	if value == "" {
		t.Fatalf("the token has no %s", name)
	}
	return value
}

func TestAdminRevokesOneSession(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	stolen, other, bob := g.signIn("alice"), g.signIn("alice"), g.signIn("bob")
	elevated := g.elevate(stolen, "alice", "wallet:export")
	g.want(request{path: "/wallets/1", bearer: stolen}, 200, "")

	g.ask(request{method: "DELETE", path: "/byoa/sessions/" + claim(t, stolen, "sid")}, 204)
	g.want(request{path: "/wallets/1", bearer: stolen}, 401, "session_revoked")
	g.want(request{method: "POST", path: "/wallets/1/export", bearer: stolen, elevated: elevated}, 401, "session_revoked")
	g.want(request{method: "POST", path: "/api/v0/sdk/" + environmentID + "/refresh", bearer: stolen}, 401, "session_revoked")
	g.want(request{path: "/wallets/1", bearer: other}, 200, "")
	g.want(request{path: "/wallets/1", bearer: bob}, 200, "")

	g.load(plainEnvironment, plainSite+"\n\theader X-Config two")
	g.want(request{path: "/wallets/1", bearer: stolen}, 401, "session_revoked")
	g.ask(request{method: "DELETE", path: "/byoa/sessions/" + claim(t, stolen, "sid")}, 204)
}

func TestAdminRevokesAllSessionsOfAUser(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	external := g.external("alice")
	first, second, bob := g.signIn("alice"), g.signIn("alice"), g.signIn("bob")
	g.want(request{path: "/wallets/1", bearer: external}, 200, "")

	g.ask(request{method: "DELETE", path: "/byoa/users/" + claim(t, first, "sub") + "/sessions"}, 204)
	for name, token := range map[string]string{"the first session": first, "the second session": second, "the external JWT": external} {
		if got := g.do(request{path: "/wallets/1", bearer: token}); got.code != "session_revoked" {
			t.Errorf("%s: %d %q, want session_revoked", name, got.status, got.code)
		}
	}
	g.want(request{method: "POST", path: signInPath, body: `{"jwt":"` + external + `"}`}, 422, "invalid_external_auth")
	g.want(request{path: "/wallets/1", bearer: bob}, 200, "")
}

// An id does not say whose it is, so it ends wherever it could be good.
func TestAdminRevokesInEveryEnvironment(t *testing.T) {
	g := prepareAdmin(t)
	g.load(g.twoEnvironments(), plainSite)
	session := g.signIn("alice")
	g.ask(request{method: "DELETE", path: "/byoa/sessions/" + claim(t, session, "sid")}, 204)
	g.want(request{path: "/wallets/1", bearer: session}, 401, "session_revoked")
	for _, name := range []string{"default", "second"} {
		if want := (decision{Decision: "revoke", Result: "ok", Session: claim(t, session, "sid")}); !slices.Contains(g.decisions(name), want) {
			t.Errorf("environment %s knows nothing of the revocation", name)
		}
	}
}

// decision is what tells one from another here.
type decision struct{ Decision, Result, Session, User string }

// decisions are what the admin API tells of an environment.
func (g *running) decisions(environment string) []decision {
	g.t.Helper()
	var all []decision
	if err := json.Unmarshal([]byte(g.ask(request{path: on(environment, "decisions")}, 200).raw), &all); err != nil {
		g.t.Fatal(err)
	}
	return all
}

// 204 says that something is over. Whoever mistakes something else for an id, in a hurry,
// must be told, and what they typed is then not to be found anywhere.
func TestAdminRefusesWhatIsNoID(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	session := g.signIn("alice")
	sid, user := claim(t, session, "sid"), claim(t, session, "sub")
	for name, id := range map[string]string{
		"an external id":    "alice",
		"upper case":        strings.ToUpper(user),
		"a space before":    " " + user,
		"a line break":      user + "\n",
		"NUL":               user[:35] + "\x00",
		"a path":            "../health",
		"another id behind": user + "," + noSession,
		"a URN":             "urn:uuid:" + user,
		"no UTF-8":          "\xff\xfe",
		"a megabyte's part": strings.Repeat("a", 50_000),
	} {
		escaped := url.PathEscape(id)
		got := g.refused(request{method: "DELETE", path: "/byoa/users/" + escaped + "/sessions"}, 400, "this is no user id")
		if len(got.raw) > 1000 || strings.Contains(got.raw, "alice") {
			t.Errorf("%s: the answer repeats it: %.200s", name, got.raw)
		}
		g.refused(request{method: "DELETE", path: "/byoa/sessions/" + escaped}, 400, "this is no session id")
	}
	g.want(request{path: "/wallets/1", bearer: session}, 200, "")
	g.ask(request{method: "DELETE", path: "/byoa/sessions/" + url.PathEscape(sid)}, 204)
	g.want(request{path: "/wallets/1", bearer: session}, 401, "session_revoked")
}

// Caddy logs the paths that its admin API is called with. What is ours adds nothing to that.
func TestAdminAuditNamesTheEndpointAndNotWhatWasTyped(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	const typed = "sometoken-that-is-no-id"
	g.ask(request{method: "DELETE", path: "/byoa/sessions/" + typed}, 400)
	g.ask(request{method: "DELETE", path: "/byoa/sessions/" + noSession}, 204)
	g.turn("disable", isOff)
	g.turn("enable", isOn)

	log, err := os.ReadFile(filepath.Join(g.storage(), "caddy.log"))
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]string)
	for line := range strings.Lines(string(log)) {
		var l struct{ Logger, Decision, Code, Path, Method string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.Logger == "byoa.audit" {
			told[l.Decision+" "+l.Code] = l.Method + " " + l.Path
		}
		if l.Logger != "admin.api" && strings.Contains(line, typed) {
			t.Errorf("the log repeats what was typed: %s", line)
		}
	}
	for decision, endpoint := range map[string]string{
		"revoke bad_request": "DELETE /byoa/sessions/{sid}",
		"revoke ":            "DELETE /byoa/sessions/{sid}",
		"disable ":           "POST /byoa/environments/{name}/disable",
		"enable ":            "POST /byoa/environments/{name}/enable",
	} {
		if told[decision] != endpoint {
			t.Errorf("audit of %q: %q, want %q", decision, told[decision], endpoint)
		}
	}
	if got := g.ask(request{path: on("default", "decisions")}, 200); strings.Contains(got.raw, typed) {
		t.Errorf("the decisions repeat what was typed: %s", got.raw)
	}
}

func TestAdminShowsDecisionsTheNewestFirst(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	g.ask(request{path: on("default", "decisions")}, 200)
	session := g.signIn("alice")
	g.want(request{method: "POST", path: "/wallets/1/export", bearer: session}, 403, "step_up_required")
	g.turn("disable", isOff)
	g.turn("enable", isOn)
	got := g.ask(request{path: on("default", "decisions")}, 200)
	var shown []struct{ Decision, Result, User, Path string }
	if err := json.Unmarshal([]byte(got.raw), &shown); err != nil {
		t.Fatal(err)
	}
	want := []string{"enable ok", "disable ok", "step_up step_up_required", "exchange ok"}
	for i, w := range want {
		if i >= len(shown) || shown[i].Decision+" "+shown[i].Result != w {
			t.Fatalf("decision %d of %+v, want %s", i, shown, w)
		}
	}
	if user := claim(t, session, "sub"); shown[2].User != user || shown[2].Path != "/wallets/1/export" {
		t.Errorf("the refusal is %+v, want user %s and path /wallets/1/export", shown[2], user)
	}
}
