package gateway

import (
	"context"
	"errors"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// ErrForeign is what an [Exchanger] returns for a token that it did not issue.
// Any other error is final.
var ErrForeign = errors.New("token of another issuer")

// An Exchanger turns verified external tokens into session tokens and verified
// assertions into elevated tokens, and recognises the tokens it issued.
//
// The environment has verified the subject before it calls, decides what to ask
// for, remembers what it gets, and spends what may be used once; an exchanger
// does none of these. All methods may be called concurrently. A verdict about a
// token is a [*verifier.Error], any other refusal a [*Refusal]; any other error
// means that the exchange itself failed.
type Exchanger interface {
	// SignIn exchanges a verified external JWT. External, Email, ID, UserID,
	// Origin, IssuedAt, Expiry and RefreshUntil of want are what the environment
	// proposes; Expiry is the latest that may be granted. UserID is not what External
	// would make by itself, where that identity was linked. The result is a new Session of
	// that user, whose IssuedAt is no later than that of its token. Where a session is
	// carried on, external is empty and want is the old session with a new Expiry.
	SignIn(ctx context.Context, external string, want Session) (*Session, error)

	// Elevate exchanges a verified assertion. Session, UserID, ExternalID,
	// Scopes, SingleUse and Expiry of want are what the environment allows; ID is
	// the jti to issue, if the exchanger issues its own. The result is a new Elevated
	// with an IssuedAt.
	Elevate(ctx context.Context, s *Session, assertion string, want Elevated) (*Elevated, error)

	// OpenSession verifies a session token that this exchanger issued.
	// It returns [ErrForeign] where the token names another issuer.
	OpenSession(ctx context.Context, token string) (*Session, error)

	// OpenElevated verifies an elevated token that this exchanger issued.
	// It returns [ErrForeign] where the token names another issuer.
	OpenElevated(ctx context.Context, token string) (*Elevated, error)

	// Holds says whether tokens signed with key still verify. Remembered sessions ask it at every use.
	Holds(key verifier.KeyID) bool
}
