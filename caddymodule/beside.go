package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// beside is the handler that stands beside a gate with a matcher, for the requests which
// that one leaves out. An upstream that both kinds of requests come to cannot tell them apart:
// it would believe a header that only the gate may set, and may read the path of a request
// that no gate has seen as one of those behind the gate.
func (g *Gate) beside() *Gate {
	return &Gate{
		Beside: true, Environment: g.Environment,
		TokenHeader: g.TokenHeader, ElevatedHeader: g.ElevatedHeader, ClaimHeaders: g.ClaimHeaders,
		AllowPath: g.AllowPath, PassErrors: g.PassErrors,
	}
}

// checkBeside refuses what would have no effect.
func (g *Gate) checkBeside() error {
	if g.Beside && (g.Optional || g.KeepExternal || g.AllowQuery != "" || g.StreamLifetime != "" && g.StreamLifetime != streamToken) {
		return errors.New("beside: optional, keep_external, allow_query and stream_lifetime are for a gate, and this handler guards nothing: leave them out")
	}
	return nil
}

// serveBeside lets every request on, without a session: clean, if no gate has let it on, and
// without the headers that only gates may set which have not. A gate that is still to come
// is another matter: it finds what the client has sent, see [Gate.sendBack].
func (g *Gate) serveBeside(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	admitted := admissionOf(r)
	g.setAside(r, admitted)
	g.trailers().stripTrailers(r)
	if admitted != nil {
		return next.ServeHTTP(w, r)
	}
	tellNobody(r)
	g.cleanReferrer(r, false)
	cleanConnection(r.Header) // an upgrade to h2c would lead past every gate
	if err := g.checkTarget(r); err != nil {
		g.live.lease.enter()
		defer g.live.lease.leave()
		watch(r, g.live.observer.audit)
		return refuse(g.live.cors.wrap(w, r), r, err, g.PassErrors, g.logger)
	}
	return next.ServeHTTP(w, r)
}

// asideKey is where a request's context has the headers that were taken away beside a gate.
type asideKey struct{}

// setAside takes away the headers that a client may not set, and the cookies that hold
// sessions, and keeps them for a gate that is still to come. The request is changed in place:
// the error routes get the same one.
func (g *Gate) setAside(r *http.Request, admitted *admission) {
	managed := g.managed()
	aside, _ := r.Context().Value(asideKey{}).(http.Header)
	keep := func(name string, values []string) {
		if aside == nil {
			aside = make(http.Header)
			*r = *r.WithContext(context.WithValue(r.Context(), asideKey{}, aside))
		}
		aside[name] = values
	}
	for name, values := range r.Header {
		if managed.has(name) && !admitted.sets(name) {
			keep(name, values)
			delete(r.Header, name)
		}
	}
	if admitted != nil {
		return // whose gate has judged the cookies
	}
	if sessions := dropCookies(r.Header, g.sources.aside...); sessions != nil {
		keep("Cookie", append(aside["Cookie"], sessions...))
	}
}

// sendBackCookies gives whoever reads them the cookies that were taken away beside a gate.
func sendBackCookies(r *http.Request) {
	aside, _ := r.Context().Value(asideKey{}).(http.Header)
	if cookies := aside["Cookie"]; cookies != nil {
		r.Header["Cookie"] = slices.Concat(r.Header["Cookie"], cookies)
		delete(aside, "Cookie")
	}
}

// sendBack gives the gate the headers that it reads, where they were taken away beside another
// one. It judges them like all others, and takes away itself what nobody behind it may see.
func (g *Gate) sendBack(r *http.Request) {
	sendBackCookies(r)
	aside, _ := r.Context().Value(asideKey{}).(http.Header)
	for name, values := range aside {
		_, set := r.Header[name]
		if reads := sameName(name, g.live.config.Header) || slices.Contains(proofHeaders, foldName(name)); reads && !set {
			r.Header[name] = values
		}
	}
}

// checkTarget refuses a request that a matcher may have read differently from the upstream. An
// encoded question mark or hash is one of those: a path matcher takes what follows for a part
// of the name, and an upstream may take it for none of the path.
func (g *Gate) checkTarget(r *http.Request) error {
	if err := judgeMethod(r.Method); err != nil {
		return err
	}
	if strings.ContainsAny(r.URL.Path, "?#") {
		return &gateway.Refusal{
			Code: gateway.CodeAmbiguousPath,
			Err:  errors.New("the path can be read in more than one way (an encoded ? or #)"),
		}
	}
	return checkPath(r.URL, g.paths)
}

// sets says whether a header is one that a gate which let the request on may have set.
func (a *admission) sets(name string) bool {
	for ; a != nil; a = a.earlier {
		if a.gate.own.has(name) {
			return true
		}
	}
	return false
}
