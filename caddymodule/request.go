package caddymodule

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// ServeHTTP lets a request on if it brings a token of the environment.
//
// Whatever the outcome, nothing of what the gateway itself may set reaches anybody
// behind it in the words of the client: it is taken away before anything is decided.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if g.Beside {
		return g.serveBeside(w, r, next)
	}
	if earlier := admissionOf(r); earlier != nil {
		return g.serveBehind(w, r, earlier, next)
	}
	g.live.lease.enter() // a request ends with what it began with, whatever the next config has instead
	defer g.live.lease.leave()
	if g.live.cors.preflightRoute(w, r) {
		return nil
	}
	w = g.live.cors.wrap(w, r)
	watch(r, g.live.observer.audit)

	g.sendBack(r)
	brought, proof, err := g.take(r)
	g.strip(r)
	a := &admission{gate: g, proof: proof, preflight: passPreflight(r)}
	if err == nil && !a.preflight {
		a.session, err = g.authenticate(r, brought)
	}
	g.removeCredentials(r, brought, a.session)
	if err != nil {
		return refuse(w, r, err, g.PassErrors, g.logger)
	}

	g.clearLeftover(w, r, brought, a.session)
	r = a.on(r)
	if g.StreamLifetime == streamToken && a.session != nil {
		guarded, request, done := newStream(w, r, expiryOf(a.session), g.standing(a.session))
		defer done()
		w, r = guarded, request
	}
	g.inject(r, a)
	if err = next.ServeHTTP(w, r); err != nil {
		g.withdraw(r) // error routes get this request: they are not the upstream
	}
	return err
}

// ServeHTTP lets a request on if its user was given what the route needs.
func (s *StepUp) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	a := admissionOf(r)
	if a == nil {
		return refuse(w, r, errNoGate, false, s.logger)
	}
	if a.preflight {
		return next.ServeHTTP(w, r)
	}
	el, err := s.decide(r, a)
	if err != nil && !s.ReportOnly {
		return refuse(w, r, err, a.gate.PassErrors, s.logger)
	}
	if err != nil { // the audit log has it; a failure of ours is one all the same
		logFailure(s.logger, r, err)
	}
	if el != nil {
		a.proof.Granted = el
		a.injectAll(r, a)
	}
	return next.ServeHTTP(w, r)
}

var errNoGate = errors.New("a step_up handler has no byoa handler before it, so nobody is known to have signed in: put byoa on the same route")

// take reads what the request brought, if its method and its path leave no doubt what it asks for.
func (g *Gate) take(r *http.Request) (credential, gateway.Proof, error) {
	if err := judgeMethod(r.Method); err != nil {
		return credential{}, gateway.Proof{}, err
	}
	if err := checkPath(r.URL, g.paths); err != nil {
		return credential{}, gateway.Proof{}, err
	}
	brought, err := g.sources.take(r)
	if err != nil {
		return credential{}, gateway.Proof{}, err
	}
	if brought.place.isCookie() {
		if err := g.live.origins.check(r); err != nil {
			return credential{}, gateway.Proof{}, err
		}
	}
	proof, err := takeProof(r.Header)
	return brought, proof, err
}

// strip takes away every header that the gateway may set, in any spelling, the proofs,
// and whatever would make a proxy drop what the gateway sets.
func (g *Gate) strip(r *http.Request) {
	g.managed().strip(r.Header)
	g.trailers().stripTrailers(r)
	cleanConnection(r.Header)
}

// authenticate says whose request this is. Where the gate is optional, a missing token
// and one that is no good, unless it came in a header, make it nobody's.
func (g *Gate) authenticate(r *http.Request, brought credential) (s *gateway.Session, err error) {
	ctx, end := startSpan(r.Context(), "byoa.authenticate", g.live.name)
	defer func() { end(err) }()
	env, err := g.live.opened()
	if err != nil {
		return nil, err
	}
	if brought.token == "" {
		if g.Optional {
			return nil, nil
		}
		if err := env.Enabled(); err != nil {
			return nil, err
		}
		return nil, errTokenMissing
	}
	s, err = env.Authenticate(ctx, brought.token)
	if err != nil && g.Optional && brought.place != inHeader && httpapi.AnswerTo(err).Status == http.StatusUnauthorized {
		return nil, nil
	}
	return s, err
}

var errTokenMissing = &gateway.Refusal{
	Code: gateway.CodeTokenMissing,
	Err:  errors.New("no token: sign in, and send the token with the request"),
}

// removeCredentials takes every credential out of the request, but for a verified
// external JWT that is to be passed on.
func (g *Gate) removeCredentials(r *http.Request, brought credential, s *gateway.Session) {
	keep := nowhere
	if g.KeepExternal && s != nil && !s.Presented {
		keep = brought.place
	}
	g.sources.remove(r, keep)
	if g.AllowQuery != "" && keep != inQuery {
		forgetQuery(r, g.AllowQuery)
	}
	g.cleanReferrer(r, keep == inQuery)
}

// clearLeftover clears the session cookie where the external cookie decided and says
// that somebody else is here now.
func (g *Gate) clearLeftover(w http.ResponseWriter, r *http.Request, brought credential, s *gateway.Session) {
	if brought.session == "" || s == nil {
		return
	}
	env, err := g.live.opened()
	if err != nil {
		return
	}
	old, err := env.Authenticate(r.Context(), brought.session)
	if err == nil && old.UserID != s.UserID || err != nil && httpapi.AnswerTo(err).Status == http.StatusUnauthorized {
		cookie := httpapi.SessionCookie(g.live.config.Session.Cookie, "")
		cookie.MaxAge = -1
		http.SetCookie(w, cookie)
	}
}

// decide holds the request against what its route needs. The gateway tells whoever
// watches what it decides; what it is not asked is told here.
func (s *StepUp) decide(r *http.Request, a *admission) (el *gateway.Elevated, err error) {
	l := a.gate.live
	ctx, end := startSpan(r.Context(), "byoa.step_up", l.name)
	defer func() { end(err) }()
	if s.ReportOnly {
		ctx = reportingOnly(ctx)
	}
	need, err := s.needOf(r, a)
	if err != nil {
		l.observer.stepUpRefused(ctx, a.session, err)
		return nil, err
	}
	env, err := l.opened()
	if err != nil {
		return nil, err
	}
	el, err = env.StepUp(ctx, a.session, a.proof, need)
	if err == nil && !s.ReportOnly {
		a.needed = a.needed.Union(need.Scopes)
	}
	return el, err
}

// needOf is what the route needs, if it is one that can be decided, and open to anybody, with
// the scopes that the handlers before this one have asked for.
func (s *StepUp) needOf(r *http.Request, a *admission) (gateway.Need, error) {
	if a.session == nil {
		return gateway.Need{}, errTokenMissing
	}
	if err := checkPath(r.URL, a.gate.paths); err != nil { // it may have been rewritten behind the gate
		return gateway.Need{}, err
	}
	need, deny := s.of(r)
	if deny {
		return gateway.Need{}, &gateway.Refusal{Code: gateway.CodeRouteDenied, Err: errors.New("this route is open to nobody")}
	}
	if !need.Scopes.Empty() { // one token has to do for all of them, so a refusal names what all of them need
		need.Scopes = a.needed.Union(need.Scopes)
	}
	return need, nil
}

// serveBehind is a gate behind another one. One of the same environment decides nothing
// anew, but what it promises holds: what it sets is not the client's, and where it is
// not optional there is a session. Of another environment it would have to take back what the first one set.
func (g *Gate) serveBehind(w http.ResponseWriter, r *http.Request, earlier *admission, next caddyhttp.Handler) error {
	if earlier.gate.live != g.live {
		err := fmt.Errorf("two byoa handlers of different environments, %s and %s, are before one route", earlier.gate.live.name, g.live.name)
		return refuse(w, r, err, earlier.gate.PassErrors, g.logger)
	}
	err := checkPath(r.URL, g.paths)
	g.strip(r)
	if g.AllowQuery != "" && !earlier.keepsQuery(g.AllowQuery) {
		forgetQuery(r, g.AllowQuery)
	}
	if err == nil && earlier.session == nil && !earlier.preflight && !g.Optional {
		err = errTokenMissing
	}
	if err != nil {
		return refuse(w, r, err, g.PassErrors, g.logger)
	}
	a := *earlier
	a.gate, a.earlier = g, earlier
	earlier.injectAll(r, &a) // what all of them set was stripped with the rest
	g.inject(r, &a)
	if err = next.ServeHTTP(w, a.on(r)); err != nil {
		g.withdraw(r)
	}
	return err
}
