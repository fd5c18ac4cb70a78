package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// Codes that only HTTP knows.
const (
	codeNotFound         verifier.Code = "not_found"
	codeMethodNotAllowed verifier.Code = "method_not_allowed"
	codeInternal         verifier.Code = "internal_error"
	codeInvalidExternal  verifier.Code = "invalid_external_auth"
)

// statuses is the one place where a code meets a status. What is not here is
// [http.StatusUnauthorized]: a verdict about a token.
var statuses = map[verifier.Code]int{
	codeInternal:         http.StatusInternalServerError,
	codeNotFound:         http.StatusNotFound,
	codeMethodNotAllowed: http.StatusMethodNotAllowed,
	codeInvalidExternal:  http.StatusUnprocessableEntity,

	gateway.CodeBadRequest:    http.StatusBadRequest,
	gateway.CodeAmbiguousPath: http.StatusBadRequest,

	gateway.CodeStepUpRequired:          http.StatusForbidden,
	gateway.CodeElevatedInvalid:         http.StatusForbidden,
	gateway.CodeElevatedExpired:         http.StatusForbidden,
	gateway.CodeElevatedUsed:            http.StatusForbidden,
	gateway.CodeElevatedSubjectMismatch: http.StatusForbidden,
	gateway.CodeRouteDenied:             http.StatusForbidden,
	gateway.CodeCrossOrigin:             http.StatusForbidden,
	gateway.CodeExternalAuthDisabled:    http.StatusForbidden,

	gateway.CodeExchangeFailed:   http.StatusBadGateway,
	verifier.CodeKeysUnavailable: http.StatusServiceUnavailable,
	gateway.CodeStoreUnavailable: http.StatusServiceUnavailable,
}

// An Answer is an error as HTTP says it: RFC 6750 section 3 and RFC 9470 section 3
// for the challenge, and a JSON object for programs and people.
type Answer struct {
	Status     int
	Challenge  string        // WWW-Authenticate; empty where none is due
	RetryAfter time.Duration // 0: none
	Code       verifier.Code
	body       body
}

type body struct {
	Error     string        `json:"error"`
	Code      verifier.Code `json:"code"`
	Reason    string        `json:"reason,omitempty"`
	Scope     string        `json:"scope,omitempty"`
	ACRValues string        `json:"acr_values,omitempty"`
	MaxAge    *int64        `json:"max_age,omitempty"`
}

// AnswerTo says how err is answered. An error that is nobody's verdict is a 500
// whose words stay in the log.
func AnswerTo(err error) Answer {
	a := Answer{Code: gateway.CodeOf(err), body: body{Error: err.Error()}}
	var refusal *gateway.Refusal
	var verdict *verifier.Error
	switch {
	case errors.As(err, &refusal):
		a.describe(refusal)
	case errors.As(err, &verdict):
		a.body.Error, a.RetryAfter = verdict.Error(), verdict.RetryAfter
	case errors.Is(err, context.Canceled):
		a.Code, a.body.Error = codeInternal, "the request was given up"
	default:
		a.Code, a.body.Error = codeInternal, "the gateway failed; its log says why"
	}
	a.body.Code = a.Code
	if a.Status == 0 {
		a.Status = statusOf(a.Code)
	}
	a.Challenge = a.challenge()
	return a
}

func statusOf(code verifier.Code) int {
	if status, ok := statuses[code]; ok {
		return status
	}
	return http.StatusUnauthorized
}

func (a *Answer) describe(r *gateway.Refusal) {
	a.body.Error, a.body.Reason = r.Error(), r.Reason
	a.body.Scope = r.Scopes.String()
	a.RetryAfter = r.RetryAfter
	if r.Timeout {
		a.Status = http.StatusGatewayTimeout
	}
	if r.Code == gateway.CodeReauthenticationRequired {
		a.body.Scope = ""
		a.body.ACRValues = strings.Join(r.ACR, " ")
		if r.MaxAge > 0 {
			seconds := int64(r.MaxAge / time.Second)
			a.body.MaxAge = &seconds
		}
	}
}

func (a *Answer) challenge() string {
	if a.Status != http.StatusUnauthorized && a.Status != http.StatusForbidden {
		return ""
	}
	params := []string{`realm="byoa"`}
	add := func(name, value string) { params = append(params, name+"="+quoted(value)) }
	switch {
	case a.Code == gateway.CodeReauthenticationRequired:
		add("error", "insufficient_user_authentication")
		if a.body.ACRValues != "" {
			add("acr_values", a.body.ACRValues)
		}
		if a.body.MaxAge != nil {
			add("max_age", strconv.FormatInt(*a.body.MaxAge, 10))
		}
	case a.body.Scope != "":
		add("error", "insufficient_scope")
		add("scope", a.body.Scope)
	case a.Code == gateway.CodeRouteDenied:
		add("error", "insufficient_scope")
	case a.Status == http.StatusUnauthorized && a.Code != gateway.CodeTokenMissing:
		add("error", "invalid_token")
	}
	return "Bearer " + strings.Join(params, ", ")
}

// quoted writes a quoted-string (RFC 9110, section 5.6.4) of what may stand in one.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c >= 0x20 && c < 0x7f:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Headers sets what the answer says outside its body.
func (a Answer) Headers(h http.Header) {
	h.Set("Cache-Control", "no-store")
	if a.Challenge != "" {
		h.Set("WWW-Authenticate", a.Challenge)
	}
	if a.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((a.RetryAfter+time.Second-1)/time.Second), 10))
	}
}

// Write sends the answer. Headers that describe a body which is not sent are removed.
func (a Answer) Write(w http.ResponseWriter) {
	for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified"} {
		w.Header().Del(name)
	}
	a.Headers(w.Header())
	writeJSON(w, a.Status, a.body)
}

// writeFresh answers v, which is true for this client at this moment, and for no cache.
func writeFresh(w http.ResponseWriter, v any) {
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, v)
}

// writeNothing answers that all is done and there is nothing to say.
func writeNothing(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	encoded, err := json.Marshal(v)
	if err != nil { // a value of ours that cannot be encoded: nothing a client could cause
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(encoded, '\n')) // a client that is gone needs no answer
}

// asExternal turns a verdict into one about an external JWT or assertion. Whatever is no verdict stays what it is.
func asExternal(err error) Answer {
	a := AnswerTo(err)
	if a.Status != http.StatusUnauthorized {
		return a
	}
	a.Status, a.Challenge = statuses[codeInvalidExternal], ""
	a.body.Reason, a.body.Code, a.Code = string(a.Code), codeInvalidExternal, codeInvalidExternal
	return a
}

func badRequest(format string, args ...any) error {
	return &gateway.Refusal{Code: gateway.CodeBadRequest, Err: fmt.Errorf(format, args...)}
}
