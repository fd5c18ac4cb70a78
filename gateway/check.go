package gateway

import (
	"context"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// Check holds an external JWT against every rule of a sign-in, not only up to the
// first that fails. It spends nothing, and does not say what was revoked.
func (e *Environment) Check(ctx context.Context, external string) []verifier.Check {
	return e.orDisabled(e.providers.Check(ctx, external))
}

// CheckAssertion holds an assertion about subject, the external id of a user who is
// signed in, against every rule of a step-up. It spends nothing, and does not say what was used before.
func (e *Environment) CheckAssertion(ctx context.Context, assertion, subject string) []verifier.Check {
	checks := e.providers.CheckAssertion(ctx, assertion, subject)
	if scopes, ok := unverifiedScopes(assertion); ok {
		checks = append(checks, verifier.Check{Name: "scope_allowed", Err: e.allowed(scopes)})
	}
	return e.orDisabled(checks)
}

// orDisabled adds that the environment is switched off, if it is.
func (e *Environment) orDisabled(checks []verifier.Check) []verifier.Check {
	if err := e.Enabled(); err != nil {
		return append(checks, verifier.Check{Name: "enabled", Err: err})
	}
	return checks
}

// unverifiedScopes are those that an assertion asks for, if it says so in a way that can be read.
func unverifiedScopes(assertion string) (verifier.Scopes, bool) {
	t, err := verifier.Parse(assertion, len(assertion)) // how long it may be was checked
	if err != nil {
		return verifier.Scopes{}, false
	}
	claims, err := t.UnverifiedClaims()
	if err != nil {
		return verifier.Scopes{}, false
	}
	scope, _ := claimOf[string](claims, "scope")
	scopes, err := verifier.ParseScopes(scope)
	return scopes, err == nil
}
