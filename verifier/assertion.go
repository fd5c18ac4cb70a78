package verifier

import (
	"context"
	"slices"
	"time"
)

const (
	defaultAssertionLifetime = time.Hour
	maxIDBytes               = 256
)

// AssertionRules are the rules for assertions beside those of [Config]: JWTs with
// which an issuer grants one of its users some scopes, once.
//
// An ordinary access token can carry `scope` and `jti` too, and must not step
// itself up. Set Type or Audience so that the two can be told apart. Where neither
// is set, or Audience is also one of Config.Audiences, an assertion that would also
// sign in, be it with another audience, is refused: one that names its issuer.
type AssertionRules struct {
	// Type is the `typ` that an assertion must have, and that no other token may
	// have. Compared as RFC 7515 section 4.1.9 says.
	Type string

	// Audience is an `aud` that an assertion must hold. Empty: if `aud` is there,
	// it must hold one of Config.Audiences, if any are set (RFC 7519 section 4.1.3).
	Audience string

	// MaxLifetime is how far ahead `exp` may lie. Zero: one hour.
	MaxLifetime time.Duration

	// RequireIssuer demands `iss`. Without it an assertion may leave `iss` out,
	// which is safe only where no other issuer shares the key set.
	RequireIssuer bool
}

func (r AssertionRules) withDefaults() AssertionRules {
	r.Type = normalType(r.Type)
	if r.MaxLifetime == 0 {
		r.MaxLifetime = defaultAssertionLifetime
	}
	return r
}

// An Assertion is a verified assertion. That its ID was not used before is for
// whoever keeps the record of used ones to say, and whether the scopes may be
// granted at all is policy: neither is checked here.
type Assertion struct {
	Claims
	Scopes Scopes
}

// VerifyAssertion checks an assertion about subject, which must not be empty, and
// returns what it grants. Errors are as for [Verifier.Verify].
func (v *Verifier) VerifyAssertion(ctx context.Context, token, subject string) (*Assertion, error) {
	t, err := Parse(token, v.cfg.MaxBytes)
	if err != nil {
		return nil, err
	}
	a := v.begin(ctx, t)
	a.subject = subject
	if err := v.run(stepUp, a); err != nil {
		return nil, err
	}
	c, err := a.claims()
	if err != nil {
		return nil, err
	}
	return &Assertion{Claims: *c, Scopes: a.scopes}, nil
}

// stepUp is all that an assertion has to satisfy, in order.
var stepUp = []step{
	{"algorithm", (*Verifier).checkAlgorithm},
	{"type", (*Verifier).checkAssertionType},
	{stepIssuer, (*Verifier).checkAssertionIssuer},
	{"subject", (*Verifier).checkAssertionSubject},
	{"expiry", (*Verifier).checkExpiry},
	{"lifetime", (*Verifier).checkLifetime},
	{"not_before", (*Verifier).checkNotBefore},
	{"issued_at", (*Verifier).checkIssuedAt},
	{stepAudience, (*Verifier).checkAssertionAudience},
	{"scope", (*Verifier).checkScope},
	{"jti", (*Verifier).checkAssertionID},
	{"own_type", (*Verifier).checkOwnType},
	{stepSignature, (*Verifier).checkSignature},
}

func (v *Verifier) checkAssertionType(a *attempt) error {
	if own := v.cfg.Assertion.Type; own != "" && a.token.typ != own {
		return refuse(CodeTypeMismatch, "typ is %s, not %s as an assertion has to have", quoted(a.token.typ), quoted(own))
	}
	return nil
}

// checkAssertionIssuer lets iss be absent, unless it is required, but not be empty or another.
func (v *Verifier) checkAssertionIssuer(a *attempt) error {
	if _, present := a.token.claims["iss"]; !present && !v.cfg.Assertion.RequireIssuer {
		return nil
	}
	return v.checkIssuer(a)
}

// checkAssertionSubject does not say whom the assertion is about: the error goes to
// whoever presents it.
func (v *Verifier) checkAssertionSubject(a *attempt) error {
	if err := v.checkSubject(a); err != nil {
		return err
	}
	if a.token.claims["sub"] != a.subject {
		return refuse(CodeSubjectMismatch, "sub is not the user who is signed in")
	}
	return nil
}

// checkLifetime passes over an exp that checkExpiry has refused.
func (v *Verifier) checkLifetime(a *attempt) error {
	exp, err := dateClaim(a.token.claims, "exp")
	if longest := v.cfg.Assertion.MaxLifetime; err == nil && exp.After(a.now.Add(longest)) {
		return refuse(CodeLifetimeTooLong, "exp lies more than %s ahead", longest)
	}
	return err
}

// checkAssertionAudience looks at an aud nobody asked for too: who is not among the
// audiences has to refuse the token (RFC 7519 section 4.1.3).
func (v *Verifier) checkAssertionAudience(a *attempt) error {
	if own := v.cfg.Assertion.Audience; own != "" {
		return a.audienceHoldsOne([]string{own})
	}
	if _, present := a.token.claims["aud"]; !present {
		return nil
	}
	return v.checkAudience(a)
}

// checkScope checks the syntax of RFC 6749 section 3.3; which scopes may be granted is policy.
func (v *Verifier) checkScope(a *attempt) error {
	scope, err := stringClaim(a.token.claims, "scope")
	if err != nil {
		return err
	}
	if scope == "" {
		return refuse(CodeScopeMissing, "scope is missing or empty")
	}
	if a.scopes, err = ParseScopes(scope); err != nil {
		return malformed("%w", err)
	}
	return nil
}

// checkAssertionID bounds what the record of used IDs has to keep.
func (v *Verifier) checkAssertionID(a *attempt) error {
	jti, err := stringClaim(a.token.claims, "jti")
	switch {
	case err != nil:
		return err
	case jti == "":
		return refuse(CodeJTIMissing, "jti is missing or empty")
	case len(jti) > maxIDBytes:
		return malformed("jti has more than %d bytes", maxIDBytes)
	}
	return nil
}

// checkOwnType keeps an ordinary access token from stepping itself up: unless
// something sets assertions apart, what would sign in is no assertion. The audience is
// left out of account: the access token of another application, or one without aud as
// some login systems issue them, would not sign in here and is an ordinary one all the same.
func (v *Verifier) checkOwnType(a *attempt) error {
	own := v.cfg.Assertion
	if own.Type != "" || own.Audience != "" && !slices.Contains(v.cfg.Audiences, own.Audience) {
		return nil
	}
	for _, s := range signIn {
		if s.name != stepAudience && s.name != stepSignature && s.check(v, a) != nil {
			return nil
		}
	}
	return refuse(CodeTypeMismatch, "this token would also sign in, and so is no assertion; "+
		"to accept it, configure what only assertions have: assertion { type … } or assertion { audience … }")
}
