package verifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config says which tokens are good. Its zero value allows nothing: Issuer and
// Keys are required, and what loosens a rule has to be set.
type Config struct {
	// Issuer is the only `iss` accepted, byte for byte. Required.
	Issuer string

	// Audiences are those of which `aud` must hold one. None: `aud` is not
	// checked, so a token that the issuer made for any other service is accepted too.
	Audiences []string

	// Algorithms are the values of `alg` that are accepted. None: all of RFC 7518
	// and RFC 8037 that are asymmetric.
	Algorithms []string

	// Keys holds the keys of this issuer and of nobody else. Required.
	Keys KeySet

	// Leeway is how far `nbf` and `iat` may lie in the future, for clocks that
	// differ. `exp` is exact: it has no leeway.
	Leeway time.Duration

	// MaxBytes bounds the length of a token. Not positive: 16 KiB.
	MaxBytes int

	// Assertion holds the further rules for assertions.
	Assertion AssertionRules

	// Now is the clock. Nil: [time.Now].
	Now func() time.Time
}

// A Verifier verifies the tokens of one issuer. It is immutable, remembers nothing
// and may be used concurrently.
type Verifier struct {
	cfg Config
}

// New returns a Verifier, or an error for a Config that could accept a token
// nobody meant or could never accept one.
func New(cfg Config) (*Verifier, error) {
	cfg.Audiences = slices.Clone(cfg.Audiences)
	cfg.Algorithms = slices.Clone(cfg.Algorithms)
	if len(cfg.Algorithms) == 0 {
		cfg.Algorithms = slices.Clone(asymmetric)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	cfg.Assertion = cfg.Assertion.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configuring verifier: %w", err)
	}
	return &Verifier{cfg: cfg}, nil
}

// validate refuses what would show only at the first token, or never.
func (c *Config) validate() error {
	switch {
	case c.Issuer == "":
		return errors.New("no issuer")
	case c.Keys == nil:
		return errors.New("no keys")
	case slices.Contains(c.Audiences, ""):
		return errors.New("an audience is empty")
	case c.Leeway < 0:
		return errors.New("leeway is negative")
	case c.Assertion.MaxLifetime < 0:
		return errors.New("lifetime of assertions is negative")
	}
	for _, alg := range c.Algorithms {
		if !slices.Contains(asymmetric, alg) {
			return fmt.Errorf("algorithm %q is not one of %s", alg, strings.Join(asymmetric, ", "))
		}
	}
	return nil
}

// Issuer returns the `iss` that is accepted.
func (v *Verifier) Issuer() string { return v.cfg.Issuer }

// Keys returns the key set.
func (v *Verifier) Keys() KeySet { return v.cfg.Keys }

// Rules returns the rules for assertions, defaults filled in.
func (v *Verifier) Rules() AssertionRules { return v.cfg.Assertion }

// Verify checks a token of this issuer and returns what it says. A verdict about
// the token is an [*Error]; any other error means that the key set failed.
//
// It does not say whether the token was revoked, or used before.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	t, err := Parse(token, v.cfg.MaxBytes)
	if err != nil {
		return nil, err
	}
	return v.verify(ctx, t)
}

// verify checks a token that was parsed with the limit of any provider, not of this one.
func (v *Verifier) verify(ctx context.Context, t *Token) (*Claims, error) {
	if t.size > v.cfg.MaxBytes {
		return nil, refuse(CodeTokenTooLarge, "token has %d bytes, more than the %d allowed", t.size, v.cfg.MaxBytes)
	}
	a := v.begin(ctx, t)
	if err := v.run(signIn, a); err != nil {
		return nil, err
	}
	return a.claims()
}

// An attempt is one token on its way through the steps. It lives no longer than
// the call that it holds the context of.
type attempt struct {
	ctx     context.Context
	token   *Token
	now     time.Time // one instant for all steps: they must not contradict each other
	subject string    // whom an assertion has to be about

	key    KeyID  // set by the last step, signature
	scopes Scopes // set by the step scope
}

func (v *Verifier) begin(ctx context.Context, t *Token) *attempt {
	return &attempt{ctx: ctx, token: t, now: v.cfg.Now()}
}

func (a *attempt) claims() (*Claims, error) {
	c, err := newClaims(a.token.payload, a.token.claims)
	if err != nil {
		return nil, err
	}
	c.Type = a.token.typ
	c.Key = a.key
	return c, nil
}

// A step is one named rule.
type step struct {
	name  string
	check func(*Verifier, *attempt) error
}

// Names of steps that others refer to.
const (
	stepIssuer    = "issuer"
	stepAudience  = "audience"
	stepSignature = "signature"
)

// signIn is all that a token has to satisfy, in the order in which it is looked
// at: what costs little first, so that a token meant for somebody else costs
// neither a signature check nor a fetch of keys. Nothing before the last step
// has any weight without the last one.
var signIn = []step{
	{"algorithm", (*Verifier).checkAlgorithm},
	{"type", (*Verifier).checkNoAssertion},
	{stepIssuer, (*Verifier).checkIssuer},
	{"subject", (*Verifier).checkSubject},
	{"expiry", (*Verifier).checkExpiry},
	{"not_before", (*Verifier).checkNotBefore},
	{"issued_at", (*Verifier).checkIssuedAt},
	{stepAudience, (*Verifier).checkAudience},
	{"jti", (*Verifier).checkID},
	{stepSignature, (*Verifier).checkSignature},
}

func (v *Verifier) run(steps []step, a *attempt) error {
	for _, s := range steps {
		if err := s.check(v, a); err != nil {
			return err
		}
	}
	return nil
}

// checkAlgorithm compares exactly: names of algorithms are case-sensitive (RFC 7515
// section 4.1.1). Whether the key is for the algorithm too, the key set says.
func (v *Verifier) checkAlgorithm(a *attempt) error {
	if slices.Contains(v.cfg.Algorithms, a.token.algorithm) {
		return nil
	}
	return refuse(CodeAlgorithmNotAllowed, "alg %s is not allowed, only %s",
		quoted(a.token.algorithm), strings.Join(v.cfg.Algorithms, ", "))
}

// checkNoAssertion keeps an assertion, which may be handed to a browser for one
// operation, from opening a whole session.
func (v *Verifier) checkNoAssertion(a *attempt) error {
	if own := v.cfg.Assertion.Type; own != "" && a.token.typ == own {
		return refuse(CodeTypeMismatch, "typ is %s: an assertion does not sign in", quoted(own))
	}
	return nil
}

// checkIssuer compares byte for byte: two URLs that lead to the same place may still be
// two issuers.
func (v *Verifier) checkIssuer(a *attempt) error {
	iss, err := stringClaim(a.token.claims, "iss")
	if err != nil {
		return err
	}
	if iss == "" {
		return refuse(CodeIssuerMismatch, "iss is missing or empty")
	}
	if iss != v.cfg.Issuer {
		return refuse(CodeIssuerMismatch, "iss is %s, not %s", quoted(iss), quoted(v.cfg.Issuer))
	}
	return nil
}

func (v *Verifier) checkSubject(a *attempt) error {
	sub, err := stringClaim(a.token.claims, "sub")
	if err == nil && sub == "" {
		return refuse(CodeSubjectMissing, "sub is missing or empty")
	}
	return err
}

// checkExpiry demands exp. On the instant itself a token has expired (RFC 7519 section 4.1.4).
func (v *Verifier) checkExpiry(a *attempt) error {
	if _, present := a.token.claims["exp"]; !present {
		return refuse(CodeExpiryMissing, "exp is missing")
	}
	exp, err := dateClaim(a.token.claims, "exp")
	if err == nil && !a.now.Before(exp) {
		return refuse(CodeExpired, "expired at %s", exp.UTC().Format(time.RFC3339))
	}
	return err
}

func (v *Verifier) checkNotBefore(a *attempt) error { return v.checkBegun(a, "nbf") }

func (v *Verifier) checkIssuedAt(a *attempt) error { return v.checkBegun(a, "iat") }

// checkBegun checks that a date is not ahead of the clock. RFC 7519 leaves open what an
// iat in the future means; at best a clock is wrong, and then no date can be trusted.
func (v *Verifier) checkBegun(a *attempt, name string) error {
	begin, err := dateClaim(a.token.claims, name)
	if err == nil && begin.After(a.now.Add(v.cfg.Leeway)) {
		return refuse(CodeNotYetValid, "%s lies in the future, at %s", name, begin.UTC().Format(time.RFC3339))
	}
	return err
}

func (v *Verifier) checkAudience(a *attempt) error {
	return a.audienceHoldsOne(v.cfg.Audiences)
}

// audienceHoldsOne checks the shape of aud even where no audience is wanted.
func (a *attempt) audienceHoldsOne(want []string) error {
	audience, err := audienceClaim(a.token.claims)
	if err != nil || len(want) == 0 {
		return err
	}
	if len(audience) == 0 {
		return refuse(CodeAudienceMismatch, "aud is missing or empty")
	}
	for _, aud := range audience {
		if slices.Contains(want, aud) {
			return nil
		}
	}
	return refuse(CodeAudienceMismatch, "aud is %s and holds none of %s",
		quoted(strings.Join(audience, " ")), quoted(strings.Join(want, " ")))
}

// checkID checks the type alone: only assertions need an ID.
func (v *Verifier) checkID(a *attempt) error {
	_, err := stringClaim(a.token.claims, "jti")
	return err
}

// checkSignature takes no key set's word for a key that it does not name: whoever
// remembers the token would ask for the key again, and must not be told yes.
func (v *Verifier) checkSignature(a *attempt) error {
	key, err := v.cfg.Keys.VerifySignature(a.ctx, a.token)
	if err == nil && key == "" {
		return errors.New("verifying signature: the key set named no key")
	}
	a.key = key
	return err
}
