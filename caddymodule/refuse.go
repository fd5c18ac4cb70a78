package caddymodule

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// refuse answers a request that is not let on. It writes the answer, or with
// passErrors leaves it to Caddy's error routes, with the code in
// {http.error.byoa.code} and the challenge already set.
//
// What was refused is in the audit log and in the access log; only a failure of ours is
// logged here, with its cause.
func refuse(w http.ResponseWriter, r *http.Request, err error, passErrors bool, logger *zap.Logger) error {
	a := httpapi.AnswerTo(err)
	noteRefusal(r, err, logger)
	if !passErrors {
		a.Write(w)
		return nil
	}
	a.Headers(w.Header())
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set("http.error.byoa.code", string(a.Code))
	}
	return caddyhttp.Error(a.Status, err)
}

// noteRefusal has every log say of a refused request what it has to say.
func noteRefusal(r *http.Request, err error, logger *zap.Logger) {
	noteCode(r, err)
	auditRefusal(r, err)
	logFailure(logger, r, err)
}

// noteCode puts the code into the access log's line for this request.
func noteCode(r *http.Request, err error) {
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("byoa_code", string(httpapi.AnswerTo(err).Code)))
	}
}

// auditRefusal tells of a refusal that no event of the gateway has told of.
func auditRefusal(r *http.Request, err error) {
	v := visitOf(r.Context())
	if v == nil { // it was refused before it was known whose it is
		v = newVisit(r, strayAudit())
	}
	var s *gateway.Session
	if a := admissionOf(r); a != nil {
		s = a.session
	}
	v.refused(r.Context(), err, s)
}

// logFailure logs err with its cause where it is no verdict but a failure of ours.
// A client that has gone away is neither.
func logFailure(logger *zap.Logger, r *http.Request, err error) {
	a := httpapi.AnswerTo(err)
	if a.Status < http.StatusInternalServerError || r.Context().Err() != nil {
		return
	}
	cause := err
	if refusal := (*gateway.Refusal)(nil); errors.As(err, &refusal) && refusal.Cause != nil {
		cause = refusal.Cause
	}
	logger.Error("refused a request because the gateway could not decide",
		zap.String("code", string(a.Code)), zap.String("told", err.Error()), zap.NamedError("cause", cause))
}
