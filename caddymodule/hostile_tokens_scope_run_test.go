package caddymodule_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"
)

// noScopes are values of scope that hold wallet:export for whoever splits at more than single
// spaces, trims, folds letter case, or does not look closely (RFC 6749 section 3.3).
var noScopes = map[string]string{
	"a no-break space":        "a\u00a0wallet:export",
	"a no-break space at end": "wallet:export\u00a0",
	"a tab":                   "a\twallet:export",
	"a tab at the end":        "wallet:export\t",
	"a line break":            "a\nwallet:export",
	"a carriage return":       "wallet:export\r",
	"a form feed":             "a\fwallet:export",
	"two spaces":              "a  wallet:export",
	"a space before":          " wallet:export",
	"a space behind":          "wallet:export ",
	"an ideographic space":    "a\u3000wallet:export",
	"a line separator":        "a\u2028wallet:export",
	"a zero-width space":      "wallet:export\u200b",
	"a byte order mark":       "\ufeffwallet:export",
	"a NUL":                   "wallet:export\x00",
	"a NUL before it":         "a\x00wallet:export",
	"a wide colon":            "wallet\uff1aexport",
	"a Cyrillic a":            "w\u0430llet:export",
	"a Kelvin sign":           "wallet:export \u212a",
	"a dotless i in a word":   "wallet:export \u0131",
	"wide letters":            "\uff57\uff41\uff4c\uff4c\uff45\uff54:export",
	"an accent of its own":    "wallet:export\u0301",
	"a quotation mark":        `wallet:export "`,
	"quoted":                  `"wallet:export"`,
	"a backslash":             `wallet:export\`,
}

// otherScopes are scopes, and each is another one than wallet:export.
var otherScopes = map[string]string{
	"upper case":          "WALLET:EXPORT",
	"a capital":           "Wallet:export",
	"a capital at end":    "wallet:exporT",
	"a comma":             "wallet:export,wallet:sign",
	"a comma alone":       "wallet:export,",
	"a semicolon":         "wallet:export;a",
	"a plus":              "a+wallet:export",
	"a percent sign":      "wallet%3Aexport",
	"an encoded space":    "a%20wallet:export",
	"a prefix":            "wallet:expor",
	"a suffix":            "wallet:exports",
	"a part of it":        "wallet",
	"an asterisk":         "*",
	"a pattern":           "wallet:*",
	"a regular one":       "wallet.export",
	"with brackets":       "[wallet:export]",
	"with apostrophes":    "'wallet:export'",
	"a dot segment":       "wallet:export/.",
	"above it":            "wallet:export/../admin",
	"another one of ours": "wallet:sign",
}

// A scope that is only like the one that a route needs does not open it, and asking with it costs
// the user nothing (after the lists that oauth2-proxy took for one: CVE-2026-40574).
func TestLookAlikeScopeOpensNothing(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	session := g.signIn("alice")
	export := request{method: "POST", path: "/wallets/1/export", bearer: session}
	inline := func(jti, scope string) request {
		r := export
		r.assertion = g.secret(g.issuer.Assertion("alice", scope, map[string]any{"jti": jti, "exp": time.Now().Add(50 * time.Minute).Unix()}))
		return r
	}
	verify := func(jti, scope string) request {
		return request{
			method: "POST", path: endpoints + "/externalAuth/verify", bearer: session,
			body: `{"jwt":"` + inline(jti, scope).assertion + `"}`,
		}
	}
	refuse := func(t *testing.T, r request, status int, code, reason string) response {
		t.Helper()
		before := g.upstream.count()
		got := g.want(r, status, code)
		if said, _ := got.body["reason"].(string); said != reason || g.upstream.count() != before {
			t.Errorf("reason %q, want %q and nothing upstream", said, reason)
		}
		return got
	}
	for name, scope := range noScopes {
		t.Run(name, func(t *testing.T) {
			jti := rand.Text()
			refuse(t, inline(jti, scope), 401, "token_malformed", "")
			refuse(t, verify(jti, scope), 422, "invalid_external_auth", "token_malformed")
			g.want(inline(jti, "wallet:export"), 200, "") // the jti is as good as new
		})
	}
	for name, scope := range otherScopes {
		t.Run(name, func(t *testing.T) {
			jti := rand.Text()
			got := refuse(t, inline(jti, scope), 403, "step_up_required", "")
			if challenge := got.header.Get("WWW-Authenticate"); !strings.HasSuffix(challenge, `scope="wallet:export"`) {
				t.Errorf("challenge %q, want the scope that is needed", challenge)
			}
			elevated := g.secret(fmt.Sprint(g.want(verify(jti, scope), 200, "").body["elevatedAccessToken"]))
			r := export
			r.elevated = elevated
			refuse(t, r, 403, "step_up_required", "")
			refuse(t, r, 403, "step_up_required", "") // and not elevated_used
		})
	}
	for _, scope := range []string{"wallet:export", "a wallet:export b", "WALLET:EXPORT wallet:export"} {
		g.want(inline(rand.Text(), scope), 200, "")
		r := export
		r.elevated = g.secret(fmt.Sprint(g.want(verify(rand.Text(), scope), 200, "").body["elevatedAccessToken"]))
		g.want(r, 200, "")
	}
}
