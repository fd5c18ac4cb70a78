package caddymodule_test

import (
	"slices"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// bySecondOn is an assertion of the second login system about its user.
func (g *linking) bySecondOn(user string, more map[string]any) string {
	claims := map[string]any{"exp": time.Now().Add(50 * time.Minute).Unix()}
	for name, value := range more {
		claims[name] = value
	}
	return g.secret(g.second.Assertion(user, "wallet:export", claims))
}

// checked asks, and fails the test unless just these rules are broken.
func (g *linking) checked(name, body string, want ...string) response {
	g.t.Helper()
	got := g.ask(request{method: "POST", path: on("default", "check"), body: body}, 200)
	var codes []string
	for _, code := range got.body["errors"].([]any) {
		codes = append(codes, code.(string))
	}
	if !slices.Equal(codes, want) || got.body["valid"] != (want == nil) {
		g.t.Errorf("%s: %s, want the errors %v", name, got.raw, want)
	}
	return got
}

// An assertion that is taken was called bad: it may leave its issuer out, and then it is the
// login system of the user's session that counts, which a check has to be told.
func TestAdminCheckDoesNotCallAGoodAssertionBad(t *testing.T) {
	g := startLinking(t)
	first, second := g.issuer.URL(), g.second.URL()
	session := g.bySecond("alice")
	g.want(request{path: "/wallets/1", bearer: g.by("alice")}, 200, "") // so that the keys of both are here
	assertion := g.bySecondOn("alice", nil)
	about := `{"assertion":"` + assertion + `","subject":"alice"`
	configured := "configured: " + first + ", " + second

	r := request{method: "POST", path: on("default", "check")}
	g.want(request{path: "/wallets/1", bearer: session}, 200, "")
	for body, why := range map[string]string{
		about + `}`:                               "the assertion names no issuer: choose the one that the user signed in with by issuer: " + configured,
		about + `,"issuer":""}`:                   "the assertion names no issuer: choose the one that the user signed in with by issuer: " + configured,
		about + `,"issuer":"` + second + `/"}`:    "issuer: no provider has it: " + configured,
		about + `,"issuer":["` + second + `"]}`:   "must be a JSON object",
		`{"encodedJwt":"x","issuer":"elsewhere"}`: "issuer: no provider has it: " + configured,
	} {
		r.body = body
		g.refused(r, 400, why)
	}
	g.checked("by its own", about+`,"issuer":"`+second+`"}`)
	g.checked("by the other's", about+`,"issuer":"`+first+`"}`, "key_not_found")
	g.checked("one that names another", `{"assertion":"`+g.bySecondOn("alice", map[string]any{"iss": second + "/"})+
		`","subject":"alice","issuer":"`+second+`"}`, "issuer_mismatch")
	g.checked("no assertion", `{"assertion":"garbage","subject":"alice"}`, "token_malformed")

	g.want(request{method: "POST", path: "/wallets/1/export", bearer: session, assertion: assertion}, 200, "")
	g.want(request{method: "POST", path: "/wallets/1/export", bearer: g.by("alice"), assertion: g.bySecondOn("alice", nil)}, 401, "key_not_found")
}

// With one login system it is nobody's question whose assertion it is.
func TestAdminCheckOfTheOnlyLoginSystemNeedsNoIssuer(t *testing.T) {
	g := &linking{running: startAdmin(t, plainEnvironment, plainSite)}
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
	about := `{"assertion":"` + g.assertion("alice", "wallet:export") + `","subject":"alice"`
	g.checked("without", about+`}`)
	g.checked("with", about+`,"issuer":"`+g.issuer.URL()+`"}`)
	g.refused(request{method: "POST", path: on("default", "check"), body: about + `,"issuer":"https://elsewhere.example"}`},
		400, "issuer: no provider has it: configured: "+g.issuer.URL())
}

// Whoever is told of the wrong issuer alone mends that, and meets the next fault.
func TestAdminCheckNamesEveryFaultOfNobodysToken(t *testing.T) {
	g := startLinking(t)
	g.want(request{path: "/wallets/1", bearer: g.by("alice")}, 200, "")
	other := verifiertest.NewIssuer(t)
	token := func(iss any) string {
		return g.secret(other.Token(map[string]any{"iss": iss, "sub": nil, "aud": "elsewhere", "exp": 1}))
	}
	assertion := func(iss any) string {
		return g.secret(other.Assertion("alice", "wallet:export", map[string]any{"iss": iss, "jti": nil, "exp": 1}))
	}
	broken := []string{"subject_missing", "expired", "audience_mismatch"}
	g.checked("nobody's", `{"encodedJwt":"`+token("https://elsewhere.example")+`"}`, append([]string{"issuer_mismatch"}, broken...)...)
	g.checked("of no issuer", `{"encodedJwt":"`+token(nil)+`"}`, append([]string{"issuer_mismatch"}, broken...)...)
	g.checked("of a number", `{"encodedJwt":"`+token(1)+`"}`, append([]string{"token_malformed"}, broken...)...)
	g.checked("by one of them", `{"encodedJwt":"`+token("https://elsewhere.example")+`","issuer":"`+g.issuer.URL()+`"}`,
		append([]string{"issuer_mismatch"}, append(broken, "key_not_found")...)...)
	g.checked("somebody's", `{"encodedJwt":"`+token(g.issuer.URL())+`"}`, append(slices.Clone(broken), "key_not_found")...)
	g.checked("nobody's assertion", `{"assertion":"`+assertion("https://elsewhere.example")+`","subject":"bob"}`,
		"issuer_mismatch", "subject_mismatch", "expired", "jti_missing")
	g.checked("an assertion of a number", `{"assertion":"`+assertion(1)+`","subject":"bob"}`,
		"token_malformed", "subject_mismatch", "expired", "jti_missing")
	g.checked("an assertion of an empty name", `{"assertion":"`+assertion("")+`","subject":"bob"}`,
		"issuer_mismatch", "subject_mismatch", "expired", "jti_missing")
}
