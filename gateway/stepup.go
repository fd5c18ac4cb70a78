package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// A Need is what one route asks for beyond a session.
type Need struct {
	Scopes verifier.Scopes

	// MaxAge and ACR are about the login behind the session (RFC 9470): its auth_time
	// is no older, its acr is one of these. Zero and empty ask nothing.
	MaxAge time.Duration
	ACR    []string
}

// A Proof is what the client brought for a [Need]: an elevated token, or an
// assertion to be exchanged on the spot. Where it brought both, the elevated token decides.
type Proof struct {
	Elevated, Assertion string

	// Granted is what an earlier StepUp of the same request returned. It was spent
	// for the whole request, and alone decides: all that the request needs must be in it.
	Granted *Elevated
}

// StepUp holds a request of session s against what its route needs. Where scopes
// are needed it returns the elevated token that grants them, and has used it up
// if it may be used only once: the last thing that it does, so that a request
// that is refused here has spent nothing, and of any number of racing requests
// with one proof exactly one passes. Without needed scopes the result is nil.
func (e *Environment) StepUp(ctx context.Context, s *Session, p Proof, n Need) (*Elevated, error) {
	start := time.Now()
	el, err := e.stepUp(ctx, s, p, n)
	if err == nil && n.asksNothing() {
		return nil, nil // there was nothing to decide
	}
	ev := Event{Kind: EventStepUp, Session: s, Scopes: n.Scopes, Err: err, Took: time.Since(start)}
	if el != nil {
		ev.JTI = el.ID
	}
	e.observe(ctx, ev)
	if err != nil {
		return nil, err
	}
	return el, nil
}

// stepUp may return the token that a refusal is about, for the record.
func (e *Environment) stepUp(ctx context.Context, s *Session, p Proof, n Need) (*Elevated, error) {
	if err := e.Enabled(); err != nil {
		return nil, err
	}
	if err := n.metBy(s.External, e.cfg.Now()); err != nil {
		return nil, err
	}
	switch {
	case n.Scopes.Empty():
		return nil, nil
	case p.Granted != nil:
		return p.Granted, n.grantedBy(p.Granted)
	case p.Elevated != "":
		return e.redeem(ctx, s, p.Elevated, n)
	case p.Assertion != "":
		return e.elevateInline(ctx, s, p.Assertion, n)
	default:
		return nil, n.refuse(CodeStepUpRequired, "this needs an elevated token with scope %q", n.Scopes)
	}
}

// redeem accepts an elevated token that was granted before.
func (e *Environment) redeem(ctx context.Context, s *Session, token string, n Need) (*Elevated, error) {
	el, err := e.cfg.Exchanger.OpenElevated(ctx, token)
	if err != nil {
		return nil, n.doesNotServe(err)
	}
	if el.UserID != s.UserID || s.Presented && el.Session != s.ID {
		return nil, n.refuse(CodeElevatedSubjectMismatch, "the elevated token was granted to another user or session")
	}
	if err := e.elevatedRevoked(el); err != nil {
		return nil, n.doesNotServe(err)
	}
	if err := n.grantedBy(el); err != nil {
		return nil, err
	}
	return el, e.spendElevated(ctx, el, n)
}

func (n Need) grantedBy(el *Elevated) error {
	if !el.Scopes.HasAll(n.Scopes) {
		return n.refuse(CodeStepUpRequired, "the elevated token lacks scope %q", n.Scopes.Without(el.Scopes))
	}
	return nil
}

// elevateInline exchanges an assertion that came with the request itself. The
// elevated token that results goes to the upstream: it is used up at once, so that it opens nothing here again.
func (e *Environment) elevateInline(ctx context.Context, s *Session, assertion string, n Need) (*Elevated, error) {
	el, err := e.elevate(ctx, s, assertion, n)
	if err != nil {
		return nil, err
	}
	return el, e.spendElevated(ctx, el, n)
}

func (e *Environment) spendElevated(ctx context.Context, el *Elevated, n Need) error {
	if !el.SingleUse {
		return nil
	}
	used := n.refuse(CodeElevatedUsed, "the elevated token may be used once, and was")
	return e.spend(ctx, storeKey("elevated", e.cfg.ID, el.ID), el.Expiry, used)
}

// Elevate exchanges an assertion that the user's own backend signed for an
// elevated token. The assertion's jti is used up once everything else about it has
// been checked: exactly one of any number of presentations wins.
func (e *Environment) Elevate(ctx context.Context, s *Session, assertion string) (*Elevated, error) {
	if err := e.Enabled(); err != nil {
		return nil, err
	}
	return e.elevate(ctx, s, assertion, Need{})
}

func (e *Environment) elevate(ctx context.Context, s *Session, assertion string, n Need) (*Elevated, error) {
	a, err := e.assertionFor(ctx, s, assertion)
	if err != nil {
		return nil, e.elevated(ctx, s, a, err)
	}
	if !a.Scopes.HasAll(n.Scopes) {
		err := n.refuse(CodeStepUpRequired, "the assertion lacks scope %q", n.Scopes.Without(a.Scopes))
		return nil, e.elevated(ctx, s, a, err)
	}
	replayed := &Refusal{Code: CodeReplayed, Err: errors.New("the assertion's jti was used before: sign a new one")}
	key := storeKey("assertion", e.cfg.ID, s.External.Issuer, a.ID)
	if err := e.spend(ctx, key, a.Expiry, replayed); err != nil {
		return nil, e.elevated(ctx, s, a, err)
	}
	el, err := e.mint(ctx, s, assertion, a.Scopes)
	return el, e.elevated(ctx, s, a, err)
}

// mint asks the exchanger for the elevated token that a verified assertion buys.
func (e *Environment) mint(ctx context.Context, s *Session, assertion string, scopes verifier.Scopes) (*Elevated, error) {
	el, err := e.cfg.Exchanger.Elevate(ctx, s, assertion, e.grant(s, scopes))
	if err != nil {
		return nil, exchangeFailed(err)
	}
	if err := e.revoked(s); err != nil { // it may have been while the exchange was under way
		return nil, err
	}
	return el, nil
}

// elevated tells the observer how an exchange of an assertion ended, and returns err.
func (e *Environment) elevated(ctx context.Context, s *Session, a *verifier.Assertion, err error) error {
	ev := Event{Kind: EventElevate, Session: s, Err: err}
	if a != nil {
		ev.JTI, ev.Scopes = a.ID, a.Scopes
	}
	e.observe(ctx, ev)
	return err
}

// assertionFor verifies an assertion with the keys of the provider that the user
// signed in with, for that user, and holds its scopes against those that exist here.
func (e *Environment) assertionFor(ctx context.Context, s *Session, assertion string) (*verifier.Assertion, error) {
	start := time.Now()
	a, err := e.trust[s.External.Issuer].Verifier.VerifyAssertion(ctx, assertion, s.ExternalID())
	e.observe(ctx, Event{Kind: EventVerify, Session: s, Err: err, Took: time.Since(start)})
	if err != nil {
		return nil, err
	}
	return a, e.allowed(a.Scopes)
}

func (e *Environment) allowed(scopes verifier.Scopes) error {
	for _, scope := range scopes.Names() {
		if !e.Knows(scope) {
			return &Refusal{Code: CodeScopeNotAllowed, Err: fmt.Errorf("scope %q is not one that can be asked for here", scope)}
		}
	}
	return nil
}

// grant is the elevated token that these scopes allow: the shortest lifetime of
// any of them, never past the session's, and single use if any of them is.
func (e *Environment) grant(s *Session, scopes verifier.Scopes) Elevated {
	el := Elevated{Session: s.ID, UserID: s.UserID, ExternalID: s.ExternalID(), Scopes: scopes, Expiry: s.Expiry}
	now := e.cfg.Now()
	for _, scope := range scopes.Names() {
		rule := e.cfg.Scopes[scope]
		lifetime := rule.Lifetime
		if lifetime <= 0 {
			lifetime = DefaultElevatedLifetime
		}
		el.Expiry = earlier(el.Expiry, now.Add(lifetime))
		el.SingleUse = el.SingleUse || !rule.MultiUse
	}
	return el
}

// asksNothing says whether a session is enough.
func (n Need) asksNothing() bool {
	return n.Scopes.Empty() && n.MaxAge <= 0 && len(n.ACR) == 0
}

// metBy holds the login behind a session against MaxAge and ACR. A claim that is
// missing, or is not what OpenID Connect says it is, does not meet them.
func (n Need) metBy(c *verifier.Claims, now time.Time) error {
	if n.MaxAge > 0 && !recent(c, now, n.MaxAge) {
		return n.reauthenticate("the login is older than %s, or does not say when it was (auth_time)", n.MaxAge)
	}
	if acr, _ := claimOf[string](c, "acr"); len(n.ACR) > 0 && !slices.Contains(n.ACR, acr) {
		return n.reauthenticate("the login's acr is none of %q", strings.Join(n.ACR, " "))
	}
	return nil
}

// authTimeSkew is how far in the future auth_time may lie. One further ahead is no
// seconds since the epoch (some write milliseconds) and would count as recent for ever.
const authTimeSkew = time.Minute

func recent(c *verifier.Claims, now time.Time, maxAge time.Duration) bool {
	number, ok := claimOf[json.Number](c, "auth_time")
	if !ok {
		return false
	}
	seconds, err := number.Float64()
	if err != nil || math.Abs(seconds) > 1<<53 {
		return false
	}
	age := now.Sub(time.Unix(int64(math.Floor(seconds)), 0))
	return age <= maxAge && age >= -authTimeSkew
}

func (n Need) reauthenticate(format string, args ...any) *Refusal {
	r := n.refuse(CodeReauthenticationRequired, format, args...)
	r.MaxAge, r.ACR = n.MaxAge, n.ACR
	return r
}

func (n Need) refuse(code verifier.Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Scopes: n.Scopes, Err: fmt.Errorf(format, args...)}
}

// doesNotServe turns the verdict about an elevated token into what the client is told.
func (n Need) doesNotServe(err error) error {
	switch code := CodeOf(err); {
	case errors.Is(err, ErrForeign):
		return n.refuse(CodeElevatedInvalid, "the elevated token was not issued here")
	case code == verifier.CodeExpired:
		return n.refuse(CodeElevatedExpired, "the elevated token has expired")
	case code == verifier.CodeKeysUnavailable, code == CodeStoreUnavailable:
		return err
	case code == "":
		return exchangeFailed(err)
	default:
		return n.refuse(CodeElevatedInvalid, "the elevated token does not serve: %s", err)
	}
}
