package exchange

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// tokenType is the `typ` of every token that is minted here (RFC 9068, section 2.1).
const tokenType = "at+jwt"

// The values of `token_use`. They keep a session from serving as an elevated token and the other way round.
const (
	useSession  = "session"
	useElevated = "elevated"
)

// mintedClaims are in every token. They are Go fields, each set from one known
// place, so that no claim of an external JWT can become one of them by its name.
type mintedClaims struct {
	Issuer      string `json:"iss"`
	Subject     string `json:"sub"`
	Audience    string `json:"aud"`
	Expiry      int64  `json:"exp"`
	IssuedAt    int64  `json:"iat"`
	ID          string `json:"jti"`
	Session     string `json:"sid"`
	Client      string `json:"client_id"`
	Environment string `json:"environment_id"`
	Credential  string `json:"last_verified_credential_id"`
	ExternalID  string `json:"external_user_id"`
	Kid         string `json:"kid"`
	Use         string `json:"token_use"`
	Email       string `json:"email,omitempty"`
}

// sessionClaims are those of a session token. The last three are for the gateway
// alone: a session token must say all that a session is, on any instance, after any restart.
type sessionClaims struct {
	mintedClaims
	External     json.RawMessage `json:"external_claims"` // the external JWT's claims set
	RefreshUntil int64           `json:"refresh_exp"`
	Origin       string          `json:"external_sid"`
}

// elevatedClaims are those of an elevated token. Without a singleUse it is refused,
// rather than taken for one that may be used again and again.
type elevatedClaims struct {
	mintedClaims
	Scope     string `json:"scope"`
	SingleUse *bool  `json:"singleUse"`
}

// clientOf names the application that a session belongs to: the one that the
// external JWT was issued to (RFC 9068 section 2.2, OpenID Connect Core section 2), else the environment itself.
func clientOf(external *verifier.Claims, environment string) string {
	for _, name := range []string{"client_id", "azp"} {
		value, _ := external.Get(name)
		if id, _ := value.(string); id != "" {
			return id
		}
	}
	return environment
}

// belongs checks what every token that is opened here has to say, whatever it is
// used for. Its signature is ours; this is about for whom and for what it was made.
func (m *mintedClaims) belongs(c *verifier.Claims, environment, use string) error {
	switch {
	case c.Type != tokenType:
		return refuse(verifier.CodeTypeMismatch, "the token's typ is not %s", tokenType)
	case m.Use != use:
		return refuse(verifier.CodeTypeMismatch, "the token is no %s token", use)
	case m.Environment != environment:
		return refuse(verifier.CodeAudienceMismatch, "the token is for another environment")
	case m.Kid != string(c.Key):
		return refuse(verifier.CodeTokenMalformed, "the token's kid claim is not the key that signed it")
	case m.IssuedAt <= 0:
		return incomplete("iat")
	}
	return present([][2]string{
		{"jti", m.ID},
		{"sid", m.Session},
		{"client_id", m.Client},
		{"last_verified_credential_id", m.Credential},
		{"external_user_id", m.ExternalID},
	})
}

// session rebuilds the session that the claims describe.
func (s *sessionClaims) session(token string, c *verifier.Claims) (*gateway.Session, error) {
	if s.RefreshUntil <= 0 {
		return nil, incomplete("refresh_exp")
	}
	if s.Origin == "" {
		return nil, incomplete("external_sid")
	}
	if s.External == nil {
		return nil, incomplete("external_claims")
	}
	external, err := verifier.ParseClaims(s.External)
	if err != nil {
		return nil, refuse(verifier.CodeTokenMalformed, "external_claims: %w", err)
	}
	if external.Subject != s.ExternalID || external.Issuer == "" || external.Expiry.IsZero() {
		return nil, refuse(verifier.CodeTokenMalformed, "external_claims are not those of the external user")
	}
	return &gateway.Session{
		ID:           s.Session,
		UserID:       c.Subject,
		Email:        s.Email,
		External:     external,
		Origin:       s.Origin,
		Token:        token,
		Key:          c.Key,
		IssuedAt:     c.IssuedAt,
		Expiry:       c.Expiry,
		RefreshUntil: seconds(s.RefreshUntil),
		Presented:    true,
	}, nil
}

// elevated rebuilds the permission that the claims describe.
func (e *elevatedClaims) elevated(token string, c *verifier.Claims) (*gateway.Elevated, error) {
	if e.SingleUse == nil {
		return nil, incomplete("singleUse")
	}
	scopes, err := verifier.ParseScopes(e.Scope)
	if err != nil {
		return nil, refuse(verifier.CodeTokenMalformed, "scope: %w", err)
	}
	return &gateway.Elevated{
		ID:         e.ID,
		Session:    e.Session,
		UserID:     c.Subject,
		Scopes:     scopes,
		SingleUse:  *e.SingleUse,
		Token:      token,
		IssuedAt:   c.IssuedAt,
		Expiry:     c.Expiry,
		ExternalID: e.ExternalID,
	}, nil
}

// present refuses the first of the claims, each a name and a value, that is missing or empty.
func present(claims [][2]string) error {
	for _, claim := range claims {
		if claim[1] == "" {
			return incomplete(claim[0])
		}
	}
	return nil
}

func incomplete(claim string) error {
	return refuse(verifier.CodeTokenMalformed, "the token lacks the claim %s", claim)
}

func refuse(code verifier.Code, format string, args ...any) error {
	return &verifier.Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// errIncomplete is about callers, not tokens: an environment proposes all of it.
var errIncomplete = errors.New("what is asked for lacks a session, a user, or whom the login system knows")
