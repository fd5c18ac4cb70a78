package caddymodule_test

import (
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// linking is a gateway that trusts two login systems.
type linking struct {
	*running
	second *verifiertest.Issuer
}

// startLinking runs a gateway with these lines in its environment, and a site that tells
// the upstream whose requests it gets.
func startLinking(t *testing.T, lines ...string) *linking {
	t.Helper()
	g := &linking{prepareAdmin(t), verifiertest.NewIssuer(t)}
	g.reload(lines...)
	return g
}

func (g *linking) reload(lines ...string) {
	g.t.Helper()
	site := strings.Replace(plainSite, "\tbyoa\n", "\tbyoa {\n claim_header X-User-Id user_id\n claim_header X-External-Id external_id\n }\n", 1)
	g.load(`environment {
			{{environment}}
			provider `+g.second.URL()+` {
				jwks_url `+g.second.JWKSURL()+`
				audience `+audience+`
			}
			cors `+pageOrigin+`
			`+strings.Join(lines, "\n")+`
		}`, site)
}

// by is another JWT of the first login system each time: those that say the same are one.
func (g *linking) by(user string, more ...map[string]any) string {
	return g.external(user, append(more, map[string]any{"jti": rand.Text()})...)
}

// bySecond is one of the second login system.
func (g *linking) bySecond(user string, more ...map[string]any) string {
	claims := map[string]any{"sub": user, "aud": audience, "jti": rand.Text()}
	for _, m := range more {
		maps.Copy(claims, m)
	}
	return g.secret(g.second.Token(claims))
}

// signInAs signs in with a JWT while present is in Authorization, and returns the user and the session.
func (g *linking) signInAs(external, present string) (user map[string]any, session string) {
	g.t.Helper()
	s := newSDK(g.running)
	s.token = present
	return userOf(g.t, s.signedIn(external)), s.token
}

// refuseLink fails the test unless a sign-in while present is in Authorization is refused for this reason.
func (g *linking) refuseLink(external, present, reason string) {
	g.t.Helper()
	s := newSDK(g.running)
	s.token = present
	s.refuseSignIn(external, reason)
}

// wantUser fails the test unless the user has this id and these identities.
func wantUser(t *testing.T, name string, user map[string]any, id any, identities ...string) {
	t.Helper()
	if user["id"] != id {
		t.Errorf("%s: the user is %v, want %v", name, user["id"], id)
	}
	if got := identitiesOf(t, user); !slices.Equal(got, identities) {
		t.Errorf("%s: the user's identities are %q, want %q", name, got, identities)
	}
}

// identitiesOf are the names by which login systems know the user. Each has a credential of its own.
func identitiesOf(t *testing.T, user map[string]any) (names []string) {
	t.Helper()
	ids := map[any]bool{}
	for _, c := range user["verifiedCredentials"].([]any) {
		c := c.(map[string]any)
		if ids[c["id"]] {
			t.Errorf("two credentials have the id %v", c["id"])
		}
		ids[c["id"]] = true
		if c["format"] == "externalUser" {
			names = append(names, c["public_identifier"].(string))
		}
	}
	return names
}

// A user who has linked two identities is the same whichever of the two login systems
// they come from, at every door, and after whatever happens to the gateway.
func TestEitherLinkedIdentityIsTheSameUser(t *testing.T) {
	g := startLinking(t, "link on")
	alice, session := g.signInAs(g.by("alice"), "")
	id := alice["id"]
	wantUser(t, "before", alice, id, "alice")
	remembered := request{path: "/wallets/1", bearer: g.bySecond("a-1")}
	g.want(remembered, 200, "")
	if own := g.upstream.last(t).Header.Get("X-User-Id"); own == id || own == "" {
		t.Fatalf("before it is linked, the other identity is %q", own)
	}
	linked, second := g.signInAs(g.bySecond("a-1"), session)
	wantUser(t, "linking", linked, id, "alice", "a-1")
	if linked["newUser"] != false || linked["sessionId"] == alice["sessionId"] {
		t.Errorf("linked to %v, want a session of its own, and no new user", linked)
	}

	same := func(when string) {
		t.Helper()
		g.want(remembered, 200, "")
		if got := g.upstream.last(t).Header.Get("X-User-Id"); got != id {
			t.Errorf("%s: a JWT from before it was linked is %s's", when, got)
		}
		for name, external := range map[string]string{"alice": g.by("alice"), "a-1": g.bySecond("a-1")} {
			user, token := g.signInAs(external, "")
			wantUser(t, when+", "+name+" signs in", user, id, "alice", "a-1")
			for how, credential := range map[string]string{"session token": token, "JWT": external} {
				g.want(request{path: "/wallets/1", bearer: credential}, 200, "")
				upstream := g.upstream.last(t).Header
				if upstream.Get("X-User-Id") != id || upstream.Get("X-External-Id") != name {
					t.Errorf("%s, %s with a %s: the upstream was told %s, known as %s", when, name, how, upstream.Get("X-User-Id"), upstream.Get("X-External-Id"))
				}
				if sub := claimsOf(t, upstream.Get("Authorization"))["sub"]; sub != id {
					t.Errorf("%s, %s with a %s: the upstream's token is %v's", when, name, how, sub)
				}
			}
		}
		for name, token := range map[string]string{"the session that was linked to": session, "the one that linked": second} {
			got := g.want(request{path: endpoints + "/users", bearer: token}, 200, "")
			wantUser(t, when+", "+name, got.body, id, "alice", "a-1")
		}
	}
	same("at once")
	g.reload("link on", "cache_size 32MiB")
	same("after a reload")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.reload("link on")
	same("after a restart")
	g.reload() // whoever was linked stays so
	same("with linking switched off")
}

// Linking makes two doors into one account. So it takes a session that the page had to
// know, of another login system, and the owner of the gateway to allow it.
func TestSignInsThatDoNotLink(t *testing.T) {
	ended := func(g *linking) string {
		_, session := g.signInAs(g.by("alice"), "")
		g.want(request{method: "POST", path: endpoints + "/revoke", bearer: session}, 204, "")
		return session
	}
	live := func(g *linking) string {
		_, session := g.signInAs(g.by("alice"), "")
		return session
	}
	for _, c := range []struct {
		name     string
		lines    []string
		present  func(g *linking) string
		external func(g *linking) string
		links    bool
	}{
		{"a session, another login system, link on", []string{"link on"}, live, func(g *linking) string { return g.bySecond("a-1") }, true},
		{"without link on", nil, live, func(g *linking) string { return g.bySecond("a-1") }, false},
		{"link off", []string{"link off"}, live, func(g *linking) string { return g.bySecond("a-1") }, false},
		{"the same login system", []string{"link on"}, live, func(g *linking) string { return g.by("a-1") }, false},
		{"no session", []string{"link on"}, func(*linking) string { return "" }, func(g *linking) string { return g.bySecond("a-1") }, false},
		{"a session that was revoked", []string{"link on"}, ended, func(g *linking) string { return g.bySecond("a-1") }, false},
		{"a JWT for a session", []string{"link on"}, func(g *linking) string { return g.by("alice") }, func(g *linking) string { return g.bySecond("a-1") }, false},
		{"an elevated token for a session", []string{"link on"}, func(g *linking) string { return g.elevate(live(g), "alice", "wallet:export") }, func(g *linking) string { return g.bySecond("a-1") }, false},
		{"a session token that was changed", []string{"link on"}, func(g *linking) string { return live(g) + "A" }, func(g *linking) string { return g.bySecond("a-1") }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := startLinking(t, c.lines...)
			alice, _ := g.signInAs(g.by("alice"), "")
			user, _ := g.signInAs(c.external(g), c.present(g))
			if c.links {
				wantUser(t, "signing in", user, alice["id"], "alice", "a-1")
				return
			}
			if user["id"] == alice["id"] || user["newUser"] != true {
				t.Errorf("signed in as %v, want a new user and not alice", user)
			}
			wantUser(t, "signing in", user, user["id"], "a-1")
			alice, _ = g.signInAs(g.by("alice"), "")
			wantUser(t, "alice afterwards", alice, alice["id"], "alice")
		})
	}
}

// A browser sends a cookie for whichever page asks it to: a page that signs the user in
// somewhere must not have that joined to the account that the cookie is of.
func TestSessionInACookieIsNotLinkedTo(t *testing.T) {
	g := startLinking(t, "link on", "cookie_name ext", "session {\n cookie "+sessionCookie+"\n}")
	signIn := func(external, bearer, cookie string) (map[string]any, string) {
		t.Helper()
		got := g.want(request{
			method: "POST", path: signInPath, body: `{"jwt":"` + external + `"}`, bearer: bearer, cookie: cookie,
			header: map[string][]string{"Origin": {pageOrigin}, "Sec-Fetch-Site": {"cross-site"}},
		}, 200, "")
		return userOf(t, got.body), g.wantSessionCookie(got)
	}
	alice, cookie := signIn(g.by("alice"), "", "")
	user, _ := signIn(g.bySecond("m-1"), "", cookie)
	if user["id"] == alice["id"] || user["newUser"] != true {
		t.Errorf("a session in a cookie was linked to: %v", user)
	}
	user, _ = signIn(g.bySecond("m-2"), "", cookie+"; ext="+g.by("alice"))
	wantUser(t, "with the cookie of the login system", user, user["id"], "m-2")
	// The control: the same session where the page had to know it.
	user, _ = signIn(g.bySecond("a-1"), strings.TrimPrefix(cookie, sessionCookie+"="), "")
	wantUser(t, "in Authorization", user, alice["id"], "alice", "a-1")
}

// Whoever could link another user's identity to their own account would own that account.
func TestIdentityOfAnotherUserIsNotLinked(t *testing.T) {
	g := startLinking(t, "link on")
	alice, session := g.signInAs(g.by("alice"), "")
	bob, _ := g.signInAs(g.bySecond("bob"), "") // a user of his own
	carol, carols := g.signInAs(g.by("carol"), "")
	wantAll := func(when string) {
		t.Helper()
		for _, c := range []struct {
			name, external string
			want           map[string]any
			identities     []string
		}{
			{"alice", g.by("alice"), alice, []string{"alice", "a-1"}},
			{"alice's other identity", g.bySecond("a-1"), alice, []string{"alice", "a-1"}},
			{"bob", g.bySecond("bob"), bob, []string{"bob"}},
			{"carol", g.by("carol"), carol, []string{"carol"}},
		} {
			user, _ := g.signInAs(c.external, "")
			wantUser(t, when+", "+c.name, user, c.want["id"], c.identities...)
			if user["newUser"] != false || user["firstVisit"] != c.want["firstVisit"] {
				t.Errorf("%s: %s is %v, want as before, since %v", when, c.name, user, c.want["firstVisit"])
			}
		}
	}
	g.signInAs(g.bySecond("a-1"), session)
	wantAll("before")
	g.refuseLink(g.bySecond("bob"), session, "identity_taken") // he has signed in before
	g.refuseLink(g.bySecond("a-1"), carols, "identity_taken")  // it was linked
	wantAll("afterwards")
	g.signInAs(g.bySecond("a-1"), session) // what is linked already is linked again
	g.signInAs(g.bySecond("c-1"), carols)
	user, _ := g.signInAs(g.by("carol"), "")
	wantUser(t, "carol, who has an identity that was free", user, carol["id"], "carol", "c-1")
}

// An operator who shuts a user out shuts both doors.
func TestRevokingAUserEndsBothIdentities(t *testing.T) {
	g := startLinking(t, "link on")
	first, other := g.by("alice"), g.bySecond("a-1")
	alice, session := g.signInAs(first, "")
	_, second := g.signInAs(other, session)
	bob, bobs := g.signInAs(g.bySecond("bob"), "")
	unused := map[string]string{"a JWT of the first": g.by("alice"), "a JWT of the second": g.bySecond("a-1")}
	g.ask(request{method: "DELETE", path: "/byoa/users/" + alice["id"].(string) + "/sessions"}, 204)

	ended := maps.Clone(unused)
	maps.Copy(ended, map[string]string{"the first session": session, "the second": second, "the first JWT": first, "the second JWT": other})
	for name, token := range ended {
		if got := g.do(request{path: "/wallets/1", bearer: token}); got.status != 401 || got.code != "session_revoked" {
			t.Errorf("%s: %d %q, want 401 session_revoked", name, got.status, got.code)
		}
	}
	for _, external := range unused {
		newSDK(g.running).refuseSignIn(external, "session_revoked")
	}
	g.want(request{path: "/wallets/1", bearer: bobs}, 200, "")
	if user, _ := g.signInAs(g.bySecond("bob"), ""); user["id"] != bob["id"] {
		t.Errorf("bob is %v, want %v", user["id"], bob["id"])
	}

	later := map[string]any{"iat": time.Now().Add(5 * time.Second).Unix()} // within the leeway
	pollUntil(t, "the second of the revocation is over", func() bool {
		return g.do(request{path: "/wallets/1", bearer: g.by("alice", later)}).status == 200
	})
	user, _ := g.signInAs(g.bySecond("a-1", later), "")
	wantUser(t, "a login after that", user, alice["id"], "alice", "a-1")
}

// A link is as much a decision as a revocation is: the audit log says who is now known as whom.
func TestAuditLogOfLinks(t *testing.T) {
	a := newAudited(t, "byoa")
	a.admin = freeport.Address(t)
	g := &linking{a.running, verifiertest.NewIssuer(t)}
	g.reload("link on")
	alice, session := g.signInAs(g.by("alice"), "")
	g.signInAs(g.bySecond("bob"), "")
	links := func(external string, do func(external, present string)) []map[string]any {
		t.Helper()
		before := len(a.lines())
		do(external, session)
		lines := a.lines()[before:]
		return slices.DeleteFunc(lines, func(line map[string]any) bool { return line["decision"] != "link" })
	}
	granted := links(g.bySecond("a-1"), func(external, present string) { g.signInAs(external, present) })
	refused := links(g.bySecond("bob"), func(external, present string) { g.refuseLink(external, present, "identity_taken") })
	for _, c := range []struct {
		name  string
		lines []map[string]any
		want  map[string]any
	}{
		{"granted", granted, map[string]any{"msg": "granted", "user": alice["id"], "external_id": "a-1", "code": nil}},
		{"refused", refused, map[string]any{"msg": "refused", "user": alice["id"], "external_id": "bob", "code": "identity_taken"}},
	} {
		if len(c.lines) != 1 {
			t.Errorf("%s: %d lines, want one: %v", c.name, len(c.lines), c.lines)
			continue
		}
		for name, want := range c.want {
			if got := c.lines[0][name]; got != want {
				t.Errorf("%s: %s is %v, want %v", c.name, name, got, want)
			}
		}
	}
	if got := g.decisions("default"); !slices.ContainsFunc(got, func(d decision) bool {
		return d.Decision == "link" && d.Result == "identity_taken" && d.User == alice["id"]
	}) {
		t.Errorf("the decisions are %v, want the link that was refused among them", got)
	}
}
