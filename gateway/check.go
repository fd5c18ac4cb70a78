package gateway

import (
	"context"
	"fmt"
	"strings"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// Check holds an external JWT against every rule of a sign-in, not only up to the
// first that fails. It spends nothing, and does not say what was revoked. The rules are
// those of the provider that is issuer or, where that is empty, of the one that the JWT
// names. The error is about the question: no provider is issuer.
func (e *Environment) Check(ctx context.Context, external, issuer string) ([]verifier.Check, error) {
	by, err := e.checkerOf(issuer)
	if err != nil {
		return nil, err
	}
	return e.orDisabled(by.Check(ctx, external)), nil
}

// CheckAssertion holds an assertion about subject, the external id of a user who is
// signed in, against every rule of a step-up, as [Environment.Check] does for a sign-in. It
// spends nothing, and does not say what was used before. At a step-up it is the session that
// says whose user it is. There is none here, so where there are several providers it is an
// error if neither issuer nor the assertion says so.
func (e *Environment) CheckAssertion(ctx context.Context, assertion, subject, issuer string) ([]verifier.Check, error) {
	by, err := e.checkerOf(issuer)
	if err != nil {
		return nil, err
	}
	t, malformed := verifier.Parse(assertion, len(assertion)) // how long it may be is for the check to say
	if malformed == nil && !t.NamesIssuer() && issuer == "" && len(e.cfg.Providers) > 1 {
		return nil, e.unchosen("the assertion names no issuer: choose the one that the user signed in with by issuer")
	}
	checks := by.CheckAssertion(ctx, assertion, subject)
	if malformed == nil {
		if scopes, ok := unverifiedScopes(t); ok {
			checks = append(checks, verifier.Check{Name: "scope_allowed", Err: e.allowed(scopes)})
		}
	}
	return e.orDisabled(checks), nil
}

// A checker holds tokens against rules: those of one provider, or of whichever a token names.
type checker interface {
	Check(ctx context.Context, token string) []verifier.Check
	CheckAssertion(ctx context.Context, token, subject string) []verifier.Check
}

// checkerOf has the rules of issuer, if that is not empty.
func (e *Environment) checkerOf(issuer string) (checker, error) {
	if issuer == "" {
		return e.providers, nil
	}
	v, ok := e.providers.For(issuer)
	if !ok {
		return nil, e.unchosen("issuer: no provider has it")
	}
	return v, nil
}

// unchosen refuses a question that has to say by which provider's rules. Strangers are
// not told which there are.
func (e *Environment) unchosen(why string) error {
	var all []string
	for _, v := range e.providers.All() {
		all = append(all, v.Issuer())
	}
	refusal := badRequest(why)
	refusal.Cause = fmt.Errorf("configured: %s", strings.Join(all, ", "))
	return refusal
}

// orDisabled adds that the environment is switched off, if it is.
func (e *Environment) orDisabled(checks []verifier.Check) []verifier.Check {
	if err := e.Enabled(); err != nil {
		return append(checks, verifier.Check{Name: "enabled", Err: err})
	}
	return checks
}

// unverifiedScopes are those that an assertion asks for, if it says so in a way that can be read.
func unverifiedScopes(t *verifier.Token) (verifier.Scopes, bool) {
	claims, err := t.UnverifiedClaims()
	if err != nil {
		return verifier.Scopes{}, false
	}
	scope, _ := claimOf[string](claims, "scope")
	scopes, err := verifier.ParseScopes(scope)
	return scopes, err == nil
}
