package gateway

import (
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// A Session is what a verified external JWT was exchanged for. Sessions are
// shared between requests and must not be changed once an [Exchanger] or an
// [Environment] has returned them.
type Session struct {
	// ID is the `sid` of the session token. Sessions that come from an external
	// JWT presented with the request itself have an ID derived from the
	// environment and that token, the same on every instance. That of a session
	// that was signed in begins with its Origin.
	ID string

	// UserID is the `sub` of the session token: the gateway's own name for the user to
	// whom the identity of External belongs. Once that is another one, the session is over.
	UserID string

	// Email is the user's address, empty unless the external JWT's issuer vouched for it.
	Email string

	// External holds the claims of the external JWT that the session came from:
	// its issuer, its subject (the external id) and its expiry.
	External *verifier.Claims

	// Origin is the derived session ID of the external JWT that the session came
	// from. It equals ID where that JWT came with the request.
	Origin string

	// Token is the session token, a compact JWS or, from a remote exchanger, whatever that returned.
	Token string

	// Key is the key that signed Token, if the exchanger knows it.
	Key verifier.KeyID

	// IssuedAt and Expiry bound the life of Token.
	IssuedAt, Expiry time.Time

	// RefreshUntil is the instant past which no refresh can carry the session, and no
	// token of it lives. It is never past the external JWT's own expiry.
	RefreshUntil time.Time

	// Presented is true where the client sent Token itself, false where it sent the external JWT.
	Presented bool
}

// end is when the last token of a session that was signed in has expired.
func (s *Session) end() time.Time {
	if s.RefreshUntil.Before(s.Expiry) { // it bounds nothing: the exchanger does not keep to it, or does not say
		return s.External.Expiry
	}
	return s.RefreshUntil
}

// ExternalID is the `sub` of the external JWT.
func (s *Session) ExternalID() string { return s.External.Subject }

// An Elevated is a short-lived permission for some scopes, bound to one user and one session.
// It must not be changed once returned.
type Elevated struct {
	ID         string // jti
	Session    string // sid of the session it was given to
	UserID     string
	Scopes     verifier.Scopes
	SingleUse  bool
	Token      string
	ExternalID string

	// IssuedAt and Expiry bound its life. Without IssuedAt it does not outlive any
	// revocation of its user's sessions.
	IssuedAt, Expiry time.Time
}
