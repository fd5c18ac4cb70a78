package gateway

import (
	"context"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// An Observer is told of every decision: for metrics, for the audit log. It must
// not block and must not keep the tokens of what it is shown.
type Observer interface {
	Observe(ctx context.Context, e Event)
}

// An EventKind names what was decided.
type EventKind string

// What an [Event] can be about.
const (
	EventVerify   EventKind = "verify"   // an external JWT, a session token or an assertion was verified
	EventExchange EventKind = "exchange" // a session token was asked of the exchanger; not told where a sign-in fails after that
	EventMemory   EventKind = "memory"   // a credential was looked up among the remembered ones
	EventSignIn   EventKind = "sign_in"  // a session was started through the endpoints
	EventLink     EventKind = "link"     // an identity was to join the user of a session
	EventRefresh  EventKind = "refresh"  // a session was carried on
	EventElevate  EventKind = "elevate"  // an assertion was exchanged for an elevated token
	EventStepUp   EventKind = "step_up"  // a request was held against what its route needs beyond a session
	EventRevoke   EventKind = "revoke"   // a session, or all of a user's, was revoked
	EventDisable  EventKind = "disable"  // the environment was switched off
	EventEnable   EventKind = "enable"   // and on again
)

// An Event is one decision. Code is empty where it went well.
type Event struct {
	Kind        EventKind
	Environment string
	Session     *Session        // nil where none is known
	SessionID   string          // of Session, or of the one that was revoked by its ID
	UserID      string          // of Session, or of the one whose sessions were all revoked
	JTI         string          // of the assertion or elevated token
	Scopes      verifier.Scopes // asked for or needed
	Code        verifier.Code
	Err         error
	Took        time.Duration
}
