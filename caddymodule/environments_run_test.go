package caddymodule_test

import (
	"crypto/rand"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/caddymodule"
	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// tenant is one of several environments of a gateway, on a site of its own.
type tenant struct {
	*running
	name, id, at string
	issuer       *verifiertest.Issuer
	lines        string // further ones of the environment
}

// twoTenants makes two environments that trust one login system each and share the file
// that their records are in. Nothing runs yet.
func twoTenants(t *testing.T) (g *running, first, second *tenant) {
	t.Helper()
	g = prepare(t)
	first = &tenant{running: g, name: "first", id: environmentID, at: g.address, issuer: g.issuer}
	second = &tenant{
		running: g, name: "second", id: "0b0ad6ce-6a2e-4d0c-8c3f-5b4f2f7d1c55", at: freeport.Address(t), issuer: verifiertest.NewIssuer(t),
	}
	return g, first, second
}

// environment is that of the tenant, in a Caddyfile.
func (e *tenant) environment() string {
	return `environment ` + e.name + ` {
			id ` + e.id + `
			issuer ` + e.issuer.URL() + `
			jwks_url ` + e.issuer.JWKSURL() + `
			audience ` + audience + `
			store file ` + e.store() + `
			` + e.lines + `
		}`
}

func (e *tenant) store() string { return filepath.Join(e.storage(), "store.db") }

func (e *tenant) routes() string {
	return `byoa_api {
		environment ` + e.name + `
	}
	byoa ` + e.name + `
	step_up {
		GET  /wallets/{id}        -
		POST /wallets/{id}/export wallet:export
	}
	reverse_proxy {{upstream}}`
}

func loadTenants(g *running, first, second *tenant) {
	g.t.Helper()
	g.sites = "http://" + second.at + " {\n\tlog\n" + second.routes() + "\n}"
	g.load(first.environment()+"\n"+second.environment(), first.routes())
}

func (e *tenant) read(token string) request {
	return request{at: e.at, path: "/wallets/1", bearer: token}
}

func (e *tenant) export(token string) request {
	return request{at: e.at, method: "POST", path: "/wallets/1/export", bearer: token}
}

func (e *tenant) endpoint(name, bearer, jwt string) request {
	r := request{at: e.at, method: "POST", path: "/api/v0/sdk/" + e.id + "/" + name, bearer: bearer}
	if jwt != "" {
		r.body = `{"jwt":"` + jwt + `"}`
	}
	return r
}

// externalJWT is another one each time: those that say the same are one, whoever revokes it.
func (e *tenant) externalJWT(user string) string {
	return e.secret(e.issuer.Token(map[string]any{"sub": user, "aud": audience, "jti": rand.Text()}))
}

// stepUpJWT is an assertion; more may name its jti and its audience.
func (e *tenant) stepUpJWT(user string, more map[string]any) string {
	return e.secret(e.issuer.Assertion(user, "wallet:export", more))
}

func (e *tenant) session(external string) string {
	e.t.Helper()
	got := e.want(e.endpoint("externalAuth/signin", "", external), 200, "")
	return e.secret(got.body["minifiedJwt"].(string))
}

func (e *tenant) elevated(session, assertion string) string {
	e.t.Helper()
	got := e.want(e.endpoint("externalAuth/verify", session, assertion), 200, "")
	return e.secret(got.body["elevatedAccessToken"].(string))
}

// What one environment grants is nothing to another, though both are one process, one
// storage and one file.
func TestTokensOfOneEnvironmentOpenNothingInAnother(t *testing.T) {
	g, first, second := twoTenants(t)
	loadTenants(g, first, second)
	for _, pair := range [][2]*tenant{{first, second}, {second, first}} {
		here, there := pair[0], pair[1]
		external, session := here.externalJWT("alice"), here.session(here.externalJWT("alice"))
		foreign := there.session(there.externalJWT("alice"))
		elevated := here.elevated(session, here.stepUpJWT("alice", nil))
		assertion := here.stepUpJWT("alice", nil)
		with := func(r request, elevated, assertion string) request {
			r.elevated, r.assertion = elevated, assertion
			return r
		}

		there.want(there.read(external), 401, "issuer_mismatch")
		there.want(there.read(session), 401, "issuer_mismatch")
		there.want(with(there.export(foreign), elevated, ""), 403, "elevated_invalid")
		there.want(with(there.export(foreign), "", assertion), 401, "key_not_found")
		there.want(there.endpoint("refresh", session, ""), 401, "issuer_mismatch")
		there.want(there.endpoint("revoke", session, ""), 401, "issuer_mismatch")
		there.wantReason(there.endpoint("externalAuth/signin", "", external), "issuer_mismatch")
		there.wantReason(there.endpoint("externalAuth/verify", foreign, assertion), "key_not_found")
		strayed := here.endpoint("refresh", session, "")
		strayed.at = there.at
		there.want(strayed, 404, "not_found")

		here.want(here.read(external), 200, "")
		here.want(here.read(session), 200, "")
		here.want(with(here.export(session), elevated, ""), 200, "")
		here.want(with(here.export(session), "", assertion), 200, "")
		here.want(here.endpoint("refresh", session, ""), 200, "")
		here.want(here.endpoint("externalAuth/signin", "", external), 200, "")
		here.want(here.endpoint("revoke", session, ""), 204, "")
	}
}

// wantReason wants the endpoint to refuse the token in its body.
func (e *tenant) wantReason(r request, reason string) {
	e.t.Helper()
	if got := e.want(r, 422, "invalid_external_auth"); got.body["reason"] != reason {
		e.t.Errorf("reason %v, want %s", got.body["reason"], reason)
	}
}

// Two environments that trust one login system see the same users, the same JWTs and
// assertions with the same jti, and keep the records of all that in one file.
func TestOneStoreKeepsEnvironmentsApart(t *testing.T) {
	g, first, second := twoTenants(t)
	second.issuer = first.issuer
	for _, e := range []*tenant{first, second} {
		e.lines = "assertion {\n audience step-up-" + e.name + "\n}"
	}
	loadTenants(g, first, second)
	stores := caddymodule.PoolReferences()
	maps.DeleteFunc(stores, func(key string, _ int) bool { return !strings.HasPrefix(key, "store ") })
	if len(stores) != 1 || stores["store file "+first.store()] != 2 {
		t.Fatalf("the stores are %v, want one that both share", stores)
	}

	external := first.externalJWT("alice")
	inline := map[*tenant]request{}
	for _, e := range []*tenant{first, second} {
		r := e.export(external)
		r.assertion = e.stepUpJWT("alice", map[string]any{"jti": "the same", "aud": "step-up-" + e.name})
		inline[e] = r
	}
	for _, e := range []*tenant{first, second} {
		e.want(inline[e], 200, "")
	}
	for _, e := range []*tenant{first, second} {
		e.want(inline[e], 401, "replayed")
	}

	session := second.session(external)
	first.want(first.endpoint("revoke", external, ""), 204, "")
	first.want(first.read(external), 401, "session_revoked")
	second.want(second.read(external), 200, "")
	second.want(second.read(session), 200, "")
}

// Who switches one environment off means that one, all of it, and nothing for good.
func TestOneEnvironmentIsSwitchedOffAlone(t *testing.T) {
	g, first, second := twoTenants(t)
	loadTenants(g, first, second)
	type credentials struct{ external, session, elevated, assertion string }
	of := map[*tenant]credentials{}
	for _, e := range []*tenant{first, second} {
		external := e.externalJWT("alice")
		session := e.session(external)
		of[e] = credentials{external, session, e.elevated(session, e.stepUpJWT("alice", nil)), e.stepUpJWT("alice", nil)}
	}
	// requests are in an order in which each may go well.
	requests := func(e *tenant) []request {
		c := of[e]
		elevated, check := e.export(c.session), e.endpoint("stepUp/check", c.session, "")
		elevated.elevated, check.body = c.elevated, `{"scope":"wallet:export"}`
		return []request{
			e.endpoint("externalAuth/signin", "", c.external),
			e.endpoint("externalAuth/verify", c.session, c.assertion),
			check,
			e.endpoint("refresh", c.session, ""),
			e.read(c.external),
			e.read(c.session),
			elevated,
		}
	}

	leaving := first.session(first.externalJWT("bob"))
	first.want(first.read(leaving), 200, "")
	first.lines = "enabled off"
	loadTenants(g, first, second)
	for _, r := range append(requests(first), first.read("")) {
		first.want(r, 403, "external_auth_disabled")
	}
	first.want(first.endpoint("revoke", leaving, ""), 204, "") // whoever leaves now has left
	for _, r := range requests(second) {
		second.want(r, 200, "")
	}

	first.lines = ""
	loadTenants(g, first, second)
	for _, r := range requests(first) {
		first.want(r, 200, "")
	}
	first.want(first.read(""), 401, "token_missing")
	first.want(first.read(leaving), 401, "session_revoked")
	first.want(first.endpoint("revoke", of[first].session, ""), 204, "")
}
