package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// api is an [API] once its config was accepted.
type api struct {
	served map[string]*endpoints // by the environment's id, to the letter
	cors   *corsPolicy           // of answers that are about none of them
	logger *zap.Logger
}

// endpoints are those of one environment.
type endpoints struct {
	live *live
	open func() (*httpapi.API, error)
}

// Provision finds the environments.
func (a *API) Provision(ctx caddy.Context) error {
	a.setDefaults()
	if err := a.validate(); err != nil {
		return fmt.Errorf("byoa_api: %w", err)
	}
	app, err := appOf(ctx)
	if err != nil {
		return fmt.Errorf("byoa_api: %w", err)
	}
	names := a.Environments
	if len(names) == 0 {
		names = []string{""}
	}
	a.logger = ctx.Logger()
	hideFromLogs(hidden{headers: []string{"Authorization"}}) // in which the endpoints are called
	a.served = make(map[string]*endpoints, len(names))
	var origins []string
	for _, name := range names {
		l, err := app.environment(name)
		if err != nil {
			return fmt.Errorf("byoa_api: %w", err)
		}
		a.serve(l)
		origins = append(origins, l.config.CORS...)
	}
	// A page that has the id wrong may read that it has, whichever environment it is of.
	a.cors = newCORSPolicy(origins)
	return nil
}

// serve makes the endpoints of an environment, which are opened by the first request.
func (a *API) serve(l *live) {
	open := sync.OnceValues(func() (*httpapi.API, error) { return a.endpointsOf(l) })
	a.served[l.config.ID] = &endpoints{live: l, open: open}
}

func (a *API) endpointsOf(l *live) (*httpapi.API, error) {
	env, err := l.opened()
	if err != nil {
		return nil, err
	}
	return httpapi.New(env, httpapi.Options{
		ExternalCookie: l.config.CookieName,
		SessionCookie:  l.config.Session.Cookie,
		NonceKey:       l.nonceKey,
		CookieAllowed:  l.origins.check,
		Refused: func(r *http.Request, err error) {
			noteRefusal(r, err, a.logger)
		},
	}), nil
}

// ServeHTTP answers whatever is under the prefix and this product's, and leaves everything
// else alone. Pages of allowed origins can read every answer, errors too.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	id, path, ours := a.cut(r.URL.Path)
	if !ours {
		return next.ServeHTTP(w, r)
	}
	e, policy := a.served[id], a.cors
	if e != nil {
		e.live.lease.enter() // as a gate does
		defer e.live.lease.leave()
		watch(r, e.live.observer.audit)
		policy = e.live.cors
	}
	if policy.preflightEndpoint(w, r) {
		return nil
	}
	w = policy.wrap(w, r)
	if err := checkPath(r.URL, 0); err != nil {
		return refuse(w, r, err, false, a.logger)
	}
	if e == nil {
		return refuse(w, r, httpapi.NotFound("no environment has this id here"), false, a.logger)
	}
	handler, err := e.open()
	if err != nil {
		return refuse(w, r, err, false, a.logger)
	}
	if path == checkEndpoint {
		handler.ServeCheck(w, r)
		return nil
	}
	sendBackCookies(r)
	relative := r.Clone(r.Context())
	relative.URL.Path, relative.URL.RawPath = path, ""
	handler.ServeHTTP(w, relative)
	return nil
}

// checkEndpoint stands for the one endpoint that is not under sdk; no other has such a path.
const checkEndpoint = "externalJwt/check"

// cut splits <prefix>/sdk/<environment id>/<endpoint>, and finds, where anybody may ask,
// <prefix>/environments/<environment id>/externalJwt/check.
func (a *API) cut(path string) (id, endpoint string, ours bool) {
	prefix := strings.TrimSuffix(a.Prefix, "/")
	if rest, ok := strings.CutPrefix(path, prefix+"/sdk/"); ok {
		id, endpoint, _ = strings.Cut(rest, "/")
		return id, "/" + endpoint, true
	}
	if rest, ok := strings.CutPrefix(path, prefix+"/environments/"); ok && a.CheckPublic {
		id, isCheck := strings.CutSuffix(rest, "/"+checkEndpoint)
		return id, checkEndpoint, isCheck
	}
	return "", "", false
}

// Interface guards
var (
	_ caddy.Provisioner           = (*API)(nil)
	_ caddyhttp.MiddlewareHandler = (*API)(nil)
)
