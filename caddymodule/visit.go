package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A visit is what is said of a request to whoever watches: who asked, and for what. It
// is read off the request once, before anything is decided, and never changes: what is
// decided may be told by a goroutine that works on for others when the request is long
// over, and what Caddy itself keeps in the context is the request's alone.
type visit struct {
	clientIP string // as Caddy determined it, so trusted_proxies are honoured
	method   string
	path     string // as the client wrote it, without the query
	audit    *audit // of the environment that decides

	// told is the last refusal that was told of this request, so that none is told
	// twice. A flight tells the one who caused it; those who share it tell for themselves.
	told atomic.Pointer[error]
}

type visitKey struct{}

// watch begins the visit of r, unless it has begun: an error route may have a gate as well.
// It changes r in place: the error routes are given the server's own request, of which a
// copy would not be one.
func watch(r *http.Request, a *audit) {
	if v := visitOf(r.Context()); v != nil && v.audit == a {
		return
	}
	*r = *r.WithContext(context.WithValue(r.Context(), visitKey{}, newVisit(r, a)))
}

func newVisit(r *http.Request, a *audit) *visit {
	v := &visit{method: r.Method, path: r.URL.EscapedPath(), audit: a}
	v.clientIP, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	if asked, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && asked.URL != nil {
		v.method, v.path = asked.Method, asked.URL.EscapedPath() // before it was rewritten
	}
	v.method, v.path = withoutTokens(v.method), withoutTokens(v.path)
	return v
}

// visitOf is nil where nobody visits: where an operator has something done.
func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

// knows says whether err was told of, or was made of what was.
func (v *visit) knows(err error) bool {
	told := v.told.Load()
	return told != nil && errors.Is(err, *told)
}
