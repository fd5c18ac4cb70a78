package e2e_test

import (
	"strings"
	"testing"
	"time"
)

const (
	export = "/wallets/1/export"   // needs wallet:export, single use
	sign   = "/wallets/1/sign"     // needs wallet:sign, multi use
	both   = "/wallets/1/transfer" // needs both
)

func TestElevatedTokenOpensAndArrives(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	session := g.signIn(t, external)
	for name, credential := range map[string]string{"session token": session, "external JWT": external} {
		t.Run(name, func(t *testing.T) {
			elevated := g.elevate(t, credential, "wallet:export")
			a := g.send(t, post(export).bearer(credential).elevated(elevated)).mustPass(t)
			if a.upstream.bearer(t) != elevated {
				t.Error("the upstream got another token than the elevated one")
			}
			if got := a.upstream.named("X-Dyn-Elevated-Access-Token"); len(got) != 0 {
				t.Errorf("the upstream also got the proof's header, %d times", len(got))
			}
		})
	}
}

func TestElevatedTokenIsWhatABackendExpects(t *testing.T) {
	g := startGateway(t, config{})
	session := g.signIn(t, g.issuer.token(t, nil))
	of := g.issuer.verify(t, session, g.jwksURL(), nil).Payload
	inline := g.send(t, post(both).bearer(session).assertion(g.issuer.assertion(t, "wallet:sign wallet:export", nil))).mustPass(t)
	for name, c := range map[string]struct {
		token, scope string
		single       bool
		lifetime     time.Duration
	}{
		"single use": {g.elevate(t, session, "wallet:export"), "wallet:export", true, 5 * time.Minute},
		"multi use":  {g.elevate(t, session, "wallet:sign"), "wallet:sign", false, 10 * time.Minute},
		"the stricter of two": {
			inline.upstream.bearer(t), "wallet:sign wallet:export", true, 5 * time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := g.issuer.verify(t, c.token, g.jwksURL(), claims{"issuer": "urn:uuid:" + environmentID, "audience": environmentID})
			want := claims{
				"token_use": "elevated", "scope": c.scope, "singleUse": c.single, "sub": of["sub"], "sid": of["sid"],
				"environment_id": environmentID, "external_user_id": "user-1",
			}
			for claim, value := range want {
				if v.Payload[claim] != value {
					t.Errorf("%s is %v, want %v", claim, v.Payload[claim], value)
				}
			}
			if got := v.lifetime(t); got != c.lifetime {
				t.Errorf("it lives for %v, want %v", got, c.lifetime)
			}
		})
	}
}

func TestElevatedHeaderKeepsTheSessionToken(t *testing.T) {
	g := startGateway(t, config{Gate: "token_header X-Session\nelevated_header X-Permission"})
	session := g.signIn(t, g.issuer.token(t, nil))
	elevated := g.elevate(t, session, "wallet:export")
	s := g.send(t, post(export).bearer(session).elevated(elevated)).mustPass(t).upstream
	for name, want := range map[string]string{"X-Session": session, "X-Permission": elevated} {
		if got := s.named(name); len(got) != 1 || got[0] != want {
			t.Errorf("the upstream got %d values in %s, want the one token", len(got), name)
		}
	}
	if got := s.named("Authorization"); len(got) != 0 {
		t.Errorf("the client's Authorization reached the upstream %d times", len(got))
	}
}

func TestRefusedElevatedToken(t *testing.T) {
	g := startGateway(t, config{})
	session := g.signIn(t, g.issuer.token(t, nil))
	again := g.signIn(t, g.issuer.token(t, nil))
	other := g.issuer.token(t, claims{"sub": "user-2"})
	othersProof := g.redeem(t, other, g.issuer.assertion(t, "wallet:export", claims{"sub": "user-2"}))
	to := func(path string) request { return post(path).bearer(session) }
	proof := func(scope string) string { return g.elevate(t, session, scope) }
	changed, used := proof("wallet:export"), proof("wallet:export")
	g.send(t, to(export).elevated(used)).mustPass(t)

	good := func() request { return to(export).elevated(proof("wallet:export")) }
	runAll(t, g, []refusal{
		{"none", to(export), good(), 403, "step_up_required"},
		{"for another scope", to(export).elevated(proof("wallet:sign")), good(), 403, "step_up_required"},
		{"for one of two scopes", to(both).elevated(proof("wallet:export")), to(both).elevated(proof("wallet:sign wallet:export")), 403, "step_up_required"},
		{"garbage", to(export).elevated("garbage"), good(), 403, "elevated_invalid"},
		{"a session token", to(export).elevated(session), good(), 403, "elevated_invalid"},
		{"an external JWT", to(export).elevated(g.issuer.token(t, claims{"scope": "wallet:export"})), good(), 403, "elevated_invalid"},
		{"an assertion", to(export).elevated(g.issuer.assertion(t, "wallet:export", nil)), good(), 403, "elevated_invalid"},
		{"a changed one", to(export).elevated(tampered(changed)), to(export).elevated(changed), 403, "elevated_invalid"},
		{"one that was used", to(export).elevated(used), good(), 403, "elevated_used"},
		{"another user's", to(export).elevated(othersProof), post(export).bearer(other).elevated(othersProof), 403, "elevated_subject_mismatch"},
		{"another session's", to(export).elevated(g.elevate(t, again, "wallet:export")), good(), 403, "elevated_subject_mismatch"},
		{"two of them", good().elevated(proof("wallet:export")), good(), 400, "bad_request"},
	})
	t.Run("one that has expired", func(t *testing.T) {
		brief := proof("wallet:brief")
		waitForExpiry(t, g, brief)
		g.send(t, to("/wallets/1/brief").elevated(brief)).mustRefuse(t, 403, "elevated_expired")
		g.send(t, good()).mustPass(t)
	})
	t.Run("the refusal names the scopes", func(t *testing.T) {
		if got := g.send(t, to(both)).mustRefuse(t, 403, "step_up_required").text("scope"); got != "wallet:export wallet:sign" {
			t.Errorf("scope is %q, want what the route needs", got)
		}
	})
	t.Run("it is no session", func(t *testing.T) {
		a := g.send(t, get(home).bearer(proof("wallet:export")))
		if a.upstream != nil || a.status != 401 {
			t.Errorf("an elevated token as credential: got %v, want 401", a)
		}
		g.send(t, get(home).bearer(session)).mustPass(t)
	})
}

// waitForExpiry waits until a token's own exp has passed.
func waitForExpiry(t *testing.T, g *gateway, token string) {
	t.Helper()
	v := g.issuer.verify(t, token, g.jwksURL(), claims{"clockTolerance": 60})
	time.Sleep(time.Until(v.date(t, "exp")))
}

// The proof was not at fault, so it must not be lost.
func TestRefusedRequestDoesNotSpendTheProof(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	elevated := g.elevate(t, external, "wallet:export")
	assertion := g.issuer.assertion(t, "wallet:export", nil)
	other := g.issuer.token(t, claims{"sub": "user-2"})

	g.send(t, post(both).bearer(external).elevated(elevated)).mustRefuse(t, 403, "step_up_required")
	g.send(t, post(export).bearer(other).elevated(elevated)).mustRefuse(t, 403, "elevated_subject_mismatch")
	g.send(t, get("/nowhere").bearer(external).elevated(elevated)).mustRefuse(t, 403, "route_denied")
	g.send(t, get(home).bearer(external).elevated(elevated)).mustPass(t) // needs none
	g.send(t, post(export).bearer(external).elevated(elevated)).mustPass(t)

	g.send(t, post(both).bearer(external).assertion(assertion)).mustRefuse(t, 403, "step_up_required")
	g.send(t, post(export).bearer(other).assertion(assertion)).mustRefuse(t, 401, "subject_mismatch")
	g.send(t, get(home).bearer(external).assertion(assertion)).mustPass(t)
	g.send(t, post(export).bearer(external).assertion(assertion)).mustPass(t)
}

func TestMultiUseTokenServesAgain(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	elevated := g.elevate(t, external, "wallet:sign")
	for range 3 {
		g.send(t, post(sign).bearer(external).elevated(elevated)).mustPass(t)
	}
}

// assertionRefusals are refused inline with 401 and the code, at the endpoint with 422 and the code as reason.
func assertionRefusals(t *testing.T, i *issuer) map[string]struct{ bad, code string } {
	t.Helper()
	const scope = "wallet:export"
	signed := func(s signing) string {
		s.Header = merged(claims{"typ": stepUpType}, s.Header)
		s.Payload = assertionClaims(scope, s.Payload)
		return i.sign(t, s)
	}
	whole := i.assertion(t, scope, nil)
	return map[string]struct{ bad, code string }{
		"for another user":         {i.assertion(t, scope, claims{"sub": "user-2"}), "subject_mismatch"},
		"for nobody":               {i.assertion(t, scope, claims{"sub": nil}), "subject_missing"},
		"without a scope":          {i.assertion(t, scope, claims{"scope": nil}), "scope_missing"},
		"with scopes as a list":    {i.assertion(t, scope, claims{"scope": []string{scope}}), "token_malformed"},
		"with two spaces":          {i.assertion(t, "wallet:export  wallet:sign", nil), "token_malformed"},
		"for a scope unknown here": {i.assertion(t, scope+" wallet:burn", nil), "scope_not_allowed"},
		"with no scope in it":      {i.assertion(t, "", nil), "scope_missing"},
		"without a jti":            {i.assertion(t, scope, claims{"jti": nil}), "jti_missing"},
		"with an empty jti":        {i.assertion(t, scope, claims{"jti": ""}), "jti_missing"},
		"with an endless jti":      {i.assertion(t, scope, claims{"jti": strings.Repeat("j", 257)}), "token_malformed"},
		"for ever":                 {i.assertion(t, scope, claims{"exp": nil}), "expiry_missing"},
		"for too long":             {i.assertion(t, scope, claims{"exp": inSeconds(2 * time.Hour)}), "lifetime_too_long"},
		"expired":                  {i.assertion(t, scope, claims{"exp": inSeconds(-time.Second)}), "expired"},
		"from another issuer":      {i.assertion(t, scope, claims{"iss": "https://elsewhere.example.test"}), "issuer_mismatch"},
		"of another type":          {signed(signing{Header: claims{"typ": "JWT"}}), "type_mismatch"},
		"by an unknown key":        {signed(signing{Stray: true, Header: claims{"kid": "stray"}}), "key_not_found"},
		"by another's key":         {signed(signing{Stray: true}), "signature_invalid"},
		"changed":                  {tampered(whole), "signature_invalid"},
		"not signed":               {unsigned(whole), "algorithm_not_allowed"},
		"garbage":                  {"garbage", "token_malformed"},
	}
}

func TestRefusedAssertion(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	inline := post(export).bearer(external)
	fresh := func() string { return g.issuer.assertion(t, "wallet:export", nil) }
	for name, c := range assertionRefusals(t, g.issuer) {
		t.Run(name, func(t *testing.T) {
			g.send(t, inline.assertion(fresh())).mustPass(t)
			g.send(t, inline.assertion(c.bad)).mustRefuse(t, 401, c.code)
			g.redeem(t, external, fresh())
			g.send(t, verifyRequest(external, c.bad)).mustNotServe(t, c.code)
		})
	}
	t.Run("with an issuer, if it is the right one", func(t *testing.T) {
		g.send(t, inline.assertion(g.issuer.assertion(t, "wallet:export", claims{"iss": issuerName}))).mustPass(t)
	})
	t.Run("lacking the route's scope", func(t *testing.T) {
		g.send(t, inline.assertion(g.issuer.assertion(t, "wallet:sign", nil))).mustRefuse(t, 403, "step_up_required")
	})
	t.Run("twice in one request", func(t *testing.T) {
		g.send(t, inline.assertion(fresh()).assertion(fresh())).mustRefuse(t, 400, "bad_request")
	})
	t.Run("by somebody without a session", func(t *testing.T) {
		g.send(t, post(export).assertion(fresh())).mustRefuse(t, 401, "token_missing")
		if a := g.send(t, postJSON(apiPath+"/externalAuth/verify", claims{"jwt": fresh()})); a.status != 401 {
			t.Errorf("got %v, want 401", a)
		}
	})
}

// Where nothing tells assertions from access tokens, an access token that happens to
// have a scope and a jti must not lift its bearer by itself.
func TestAccessTokenDoesNotStepItselfUp(t *testing.T) {
	g := startGateway(t, config{Assertion: "max_lifetime 1h"})
	selfMade := g.issuer.token(t, claims{"scope": "wallet:export", "jti": "j-1", "exp": inSeconds(time.Minute)})
	a := g.send(t, post(export).bearer(selfMade).assertion(selfMade)).mustRefuse(t, 401, "type_mismatch")
	if !strings.Contains(a.text("error"), "assertion") {
		t.Errorf("the error is %q, want it to say what to set", a.text("error"))
	}
	real := g.issuer.sign(t, signing{Payload: assertionClaims("wallet:export", nil)}) // no iss: it cannot sign in
	g.send(t, post(export).bearer(selfMade).assertion(real)).mustPass(t)
}
