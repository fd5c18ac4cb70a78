package caddymodule

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
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
	if g.Beside && (g.Optional || g.KeepExternal || g.AllowQuery != "") {
		return errors.New("beside: optional, keep_external and allow_query are for a gate, and this handler guards nothing: leave them out")
	}
	return nil
}

// serveBeside lets every request on, without a session: clean, if no gate has let it on, and
// without the headers that only gates may set which have not.
func (g *Gate) serveBeside(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	admitted := admissionOf(r)
	if admitted == nil {
		if err := g.checkTarget(r); err != nil {
			g.live.lease.enter()
			defer g.live.lease.leave()
			watch(r, g.live.observer.audit)
			return refuse(w, r, err, g.PassErrors, g.logger)
		}
		cleanConnection(r.Header) // an upgrade to h2c would lead past every gate
	}
	managed := g.managed()
	for name := range r.Header {
		if managed.has(name) && !admitted.sets(name) {
			delete(r.Header, name)
		}
	}
	g.trailers().stripTrailers(r)
	return next.ServeHTTP(w, r)
}

// checkTarget refuses a request that a matcher may have read differently from the upstream.
func (g *Gate) checkTarget(r *http.Request) error {
	if err := judgeSpelling(r.Method); err != nil {
		return err
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
