package verifier

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// A Code names the reason of a refusal. Codes are stable: programs branch on
// them, people read the text of the error.
type Code string

// The reasons for which a token or an assertion is refused.
const (
	// CodeTokenMalformed means that the token is not a strict compact JWS, or
	// that a header parameter or claim has a type or value it must not have.
	CodeTokenMalformed Code = "token_malformed"

	// CodeTokenTooLarge means that the token is longer than the limit.
	CodeTokenTooLarge Code = "token_too_large"

	// CodeAlgorithmNotAllowed means that `alg` is not among the allowed
	// algorithms, or that the key which the token names is not for it.
	CodeAlgorithmNotAllowed Code = "algorithm_not_allowed"

	// CodeKeyNotFound means that the set holds no key which the token could be signed with.
	CodeKeyNotFound Code = "key_not_found"

	// CodeSignatureInvalid means that no fitting key verifies the signature.
	CodeSignatureInvalid Code = "signature_invalid"

	// CodeIssuerMismatch means that `iss` is missing or not the expected one.
	CodeIssuerMismatch Code = "issuer_mismatch"

	// CodeAudienceMismatch means that `aud` holds none of the expected audiences.
	CodeAudienceMismatch Code = "audience_mismatch"

	// CodeSubjectMissing means that `sub` is missing or empty.
	CodeSubjectMissing Code = "subject_missing"

	// CodeExpiryMissing means that `exp` is missing.
	CodeExpiryMissing Code = "expiry_missing"

	// CodeExpired means that the instant of `exp` has come.
	CodeExpired Code = "expired"

	// CodeNotYetValid means that `nbf` or `iat` lies in the future.
	CodeNotYetValid Code = "not_yet_valid"

	// CodeTypeMismatch means that the token is of the wrong kind: an assertion
	// presented to sign in, or an ordinary access token presented as an assertion.
	CodeTypeMismatch Code = "type_mismatch"

	// CodeSubjectMismatch means that an assertion is about somebody else.
	CodeSubjectMismatch Code = "subject_mismatch"

	// CodeScopeMissing means that an assertion names no scope.
	CodeScopeMissing Code = "scope_missing"

	// CodeJTIMissing means that an assertion has no `jti`.
	CodeJTIMissing Code = "jti_missing"

	// CodeLifetimeTooLong means that an assertion expires too far in the future.
	CodeLifetimeTooLong Code = "lifetime_too_long"

	// CodeKeysUnavailable means that there are no keys to verify with at the
	// moment. It says nothing about the token.
	CodeKeysUnavailable Code = "keys_unavailable"
)

// An Error is a verdict about a token: which rule it breaks, and in words fit for
// whoever sent it. It never holds the token or its signature.
type Error struct {
	Code Code

	// Err says what was wrong. It may quote, shortened, what the token says of
	// itself: alg, kid, typ, iss and aud.
	Err error

	// RetryAfter is set with [CodeKeysUnavailable]: when trying again may help.
	RetryAfter time.Duration
}

// Error returns the text of Err, or the code if there is none.
func (e *Error) Error() string {
	if e.Err == nil {
		return string(e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first [*Error] in err's tree, and the empty code
// if there is none: an error that is no verdict about a token.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// refuse returns a verdict. Its text goes to strangers: see [Error].
func refuse(code Code, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// malformed refuses what has more than one reading, or none.
func malformed(format string, args ...any) error {
	return refuse(CodeTokenMalformed, format, args...)
}

// quoted makes what a token says fit for an error: it was written by a stranger,
// so it is escaped, and short.
func quoted(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%.*q…", most, s)
	}
	return fmt.Sprintf("%q", s)
}

// inShort makes an error fit for logs whose text a server had a part in: net/http quotes
// the status line and certificates that it stumbles over.
func inShort(err error) error {
	const most = 400
	text := strings.ToValidUTF8(err.Error(), "\uFFFD")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return shortError{strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text), err}
}

// A shortError says of err no more than text.
type shortError struct {
	text string
	err  error
}

func (e shortError) Error() string { return e.text }

func (e shortError) Unwrap() error { return e.err }
