package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// Status, challenge and body of every code that users are promised.
func TestAnswers(t *testing.T) {
	scopes, err := verifier.ParseScopes("wallet:export wallet:sign")
	if err != nil {
		t.Fatal(err)
	}
	const (
		invalid   = `Bearer realm="byoa", error="invalid_token"`
		scoped    = `Bearer realm="byoa", error="insufficient_scope", scope="wallet:export wallet:sign"`
		bare      = `Bearer realm="byoa"`
		noneAtAll = ""
	)
	refusal := func(code verifier.Code) error { return &gateway.Refusal{Code: code, Err: errors.New("why")} }
	needs := func(code verifier.Code) error {
		return &gateway.Refusal{Code: code, Scopes: scopes, Err: errors.New("why")}
	}
	verdict := func(code verifier.Code) error { return &verifier.Error{Code: code, Err: errors.New("why")} }
	type promise struct {
		err       error
		status    int
		challenge string
		body      string
	}
	promises := []promise{
		{refusal("token_missing"), 401, bare, `{"error":"why","code":"token_missing"}`},
		{refusal("bad_request"), 400, noneAtAll, `{"error":"why","code":"bad_request"}`},
		{refusal("ambiguous_path"), 400, noneAtAll, `{"error":"why","code":"ambiguous_path"}`},
		{refusal("session_revoked"), 401, invalid, `{"error":"why","code":"session_revoked"}`},
		{refusal("scope_not_allowed"), 401, invalid, `{"error":"why","code":"scope_not_allowed"}`},
		{refusal("replayed"), 401, invalid, `{"error":"why","code":"replayed"}`},
		{refusal("route_denied"), 403, `Bearer realm="byoa", error="insufficient_scope"`, `{"error":"why","code":"route_denied"}`},
		{refusal("cross_origin"), 403, bare, `{"error":"why","code":"cross_origin"}`},
		{refusal("external_auth_disabled"), 403, bare, `{"error":"why","code":"external_auth_disabled"}`},
		{refusal("exchange_failed"), 502, noneAtAll, `{"error":"why","code":"exchange_failed"}`},
		{&gateway.Refusal{Code: "exchange_failed", Timeout: true, Err: errors.New("why")}, 504, noneAtAll, `{"error":"why","code":"exchange_failed"}`},
		{refusal("store_unavailable"), 503, noneAtAll, `{"error":"why","code":"store_unavailable"}`},
		{verdict("keys_unavailable"), 503, noneAtAll, `{"error":"why","code":"keys_unavailable"}`},
		{
			&gateway.Refusal{Code: "reauthentication_required", ACR: []string{"mfa", "phr"}, MaxAge: 5 * time.Minute, Err: errors.New("why")},
			401, `Bearer realm="byoa", error="insufficient_user_authentication", acr_values="mfa phr", max_age="300"`,
			`{"error":"why","code":"reauthentication_required","acr_values":"mfa phr","max_age":300}`,
		},
		{errors.New("secret detail"), 500, noneAtAll, `{"error":"the gateway failed; its log says why","code":"internal_error"}`},
		{fmt.Errorf("waiting: %w", context.Canceled), 500, noneAtAll, `{"error":"the request was given up","code":"internal_error"}`},
	}
	for _, code := range []verifier.Code{"step_up_required", "elevated_invalid", "elevated_expired", "elevated_used", "elevated_subject_mismatch"} {
		promises = append(promises, promise{
			needs(code), 403, scoped,
			fmt.Sprintf(`{"error":"why","code":"%s","scope":"wallet:export wallet:sign"}`, code),
		})
	}
	for _, code := range []verifier.Code{
		"token_malformed", "token_too_large", "algorithm_not_allowed", "key_not_found", "signature_invalid", "issuer_mismatch",
		"audience_mismatch", "subject_missing", "expiry_missing", "expired", "not_yet_valid", "type_mismatch",
		"subject_mismatch", "scope_missing", "jti_missing", "lifetime_too_long",
	} {
		promises = append(promises, promise{verdict(code), 401, invalid, fmt.Sprintf(`{"error":"why","code":"%s"}`, code)})
	}
	for _, p := range promises {
		w := httptest.NewRecorder()
		httpapi.AnswerTo(p.err).Write(w)
		if got := strings.TrimSpace(w.Body.String()); w.Code != p.status || got != p.body {
			t.Errorf("%v:\n got %d %s\nwant %d %s", p.err, w.Code, got, p.status, p.body)
		}
		if got := w.Header().Get("WWW-Authenticate"); got != p.challenge {
			t.Errorf("%v: challenge %q, want %q", p.err, got, p.challenge)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%v: headers %v", p.err, w.Header())
		}
	}
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	h := http.Header{}
	httpapi.AnswerTo(&verifier.Error{Code: verifier.CodeKeysUnavailable, RetryAfter: 1500 * time.Millisecond}).Headers(h)
	if got := h.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2", got)
	}
}

// A scope or an acr from the config stands in a header: it must not end the quotes, or the line.
func TestChallengeIsOneHeaderLine(t *testing.T) {
	a := httpapi.AnswerTo(&gateway.Refusal{Code: gateway.CodeReauthenticationRequired, ACR: []string{"a\"b\\c\r\nX-Evil: 1"}})
	const want = `Bearer realm="byoa", error="insufficient_user_authentication", acr_values="a\"b\\cX-Evil: 1"`
	if a.Challenge != want {
		t.Errorf("challenge %q, want %q", a.Challenge, want)
	}
}
