package gateway

import (
	"errors"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// The codes of refusals that are not about one token; those are in package verifier.
const (
	CodeTokenMissing             verifier.Code = "token_missing"
	CodeBadRequest               verifier.Code = "bad_request"
	CodeAmbiguousPath            verifier.Code = "ambiguous_path"
	CodeSessionRevoked           verifier.Code = "session_revoked"
	CodeScopeNotAllowed          verifier.Code = "scope_not_allowed"
	CodeReplayed                 verifier.Code = "replayed"
	CodeStepUpRequired           verifier.Code = "step_up_required"
	CodeElevatedInvalid          verifier.Code = "elevated_invalid"
	CodeElevatedExpired          verifier.Code = "elevated_expired"
	CodeElevatedUsed             verifier.Code = "elevated_used"
	CodeElevatedSubjectMismatch  verifier.Code = "elevated_subject_mismatch"
	CodeRouteDenied              verifier.Code = "route_denied"
	CodeReauthenticationRequired verifier.Code = "reauthentication_required"
	CodeCrossOrigin              verifier.Code = "cross_origin"
	CodeExternalAuthDisabled     verifier.Code = "external_auth_disabled"
	CodeExchangeFailed           verifier.Code = "exchange_failed"
	CodeStoreUnavailable         verifier.Code = "store_unavailable"
	CodeIdentityTaken            verifier.Code = "identity_taken"
	CodeTooManyIdentities        verifier.Code = "too_many_identities"
	CodeDeviceSignatureInvalid   verifier.Code = "device_signature_invalid"
)

// A Refusal is a verdict about a request: what was wrong, and what would do instead.
type Refusal struct {
	Code verifier.Code

	// Scopes that the route needs: set where an elevated token is missing or does not serve.
	Scopes verifier.Scopes

	// MaxAge and ACR are what the route asks of the login (RFC 9470).
	MaxAge time.Duration
	ACR    []string

	// RetryAfter is set where trying again later may help.
	RetryAfter time.Duration

	// Reason is a remote server's own error code, if one refused.
	Reason string

	// Timeout is true where CodeExchangeFailed means that no answer came in time.
	Timeout bool

	// Err is what was wrong, in words fit for the client. It never holds a token.
	Err error

	// Session is whose token was refused, where that is known although it was: for the log alone.
	Session *Session

	// Cause is for the log alone.
	Cause error
}

func (r *Refusal) Error() string {
	if r.Err != nil {
		return r.Err.Error()
	}
	return string(r.Code)
}

// Unwrap returns both the words for the client and the cause for the log.
func (r *Refusal) Unwrap() []error {
	var errs []error
	for _, err := range []error{r.Err, r.Cause} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// CodeOf returns the code of the [*Refusal] or [*verifier.Error] in err's tree,
// and the empty code for any other error: one that is nobody's verdict, and so ours.
func CodeOf(err error) verifier.Code {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return verifier.CodeOf(err)
}
