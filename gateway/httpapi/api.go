package httpapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// Options say what the endpoints need beside the environment. The zero value serves one
// instance, without cookies.
type Options struct {
	// ExternalCookie is the cookie that may hold the external JWT at sign-in; empty: none.
	ExternalCookie string

	// SessionCookie is set at sign-in and at refresh, read wherever a session is
	// needed, and cleared at revocation and where it holds no session of whoever is here;
	// empty: none. It is HttpOnly, Secure, SameSite=Lax and for the whole host. A sign-in
	// that would need a larger one than browsers keep is refused.
	SessionCookie string

	// CookieAllowed refuses a request that a page of another origin may have caused a
	// browser to send with its cookies. Required where a cookie is named.
	CookieAllowed func(r *http.Request) error

	// NonceKey is what nonces are made and recognised with: 32 random bytes, the same
	// for all instances and across reloads and restarts. Empty: a random key of this
	// API's own, and no other recognises its nonces. Whoever knows it can make nonces, and nothing else.
	NonceKey []byte

	// Now is the clock by which nonces grow old; nil: time.Now.
	Now func() time.Time

	// Refused, if set, is told of every request that was not granted: for logs. It must not answer.
	Refused func(r *http.Request, err error)
}

// API serves the endpoints of one environment, at paths relative to the environment's own.
// It may be used concurrently.
type API struct {
	env     *gateway.Environment
	options Options
	nonces  *nonces
	routes  map[string]endpoint // by path
}

// endpoint is what one path answers to. Where that is GET, it is HEAD as well.
type endpoint struct {
	method string
	answer http.HandlerFunc
}

func (e endpoint) allowed() []string {
	if e.method == http.MethodGet {
		return []string{http.MethodGet, http.MethodHead}
	}
	return []string{e.method}
}

// New makes the API of env.
func New(env *gateway.Environment, o Options) *API {
	a := &API{env: env, options: o, nonces: newNonces(env.ID(), o)}
	a.routes = map[string]endpoint{
		"/externalAuth/signin":   {http.MethodPost, a.whileEnabled(a.deviceChecked(a.signIn))},
		"/externalAuth/verify":   {http.MethodPost, a.whileEnabled(a.deviceChecked(a.verify))},
		"/stepUp/check":          {http.MethodPost, a.whileEnabled(a.checkStepUp)},
		"/refresh":               {http.MethodPost, a.deviceChecked(a.refresh)},
		"/revoke":                {http.MethodPost, a.revoke},
		"/users":                 {http.MethodGet, a.whileEnabled(a.users)},
		"/settings":              {http.MethodGet, a.settings},
		"/sdkSettings":           {http.MethodPost, a.sdkSettings},
		"/nonces":                {http.MethodGet, a.giveNonces},
		"/nonce":                 {http.MethodGet, a.giveNonce},
		"/.well-known/jwks":      {http.MethodGet, a.jwks},
		"/.well-known/jwks.json": {http.MethodGet, a.jwks},
	}
	return a
}

// ServeHTTP answers one endpoint. Any path or method that is none is an error in the same shape as all others.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, ok := a.routes[r.URL.Path]
	if !ok {
		a.refuse(w, r, NotFound("no endpoint has this path"))
		return
	}
	a.serve(w, r, e)
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, e endpoint) {
	if allowed := e.allowed(); !slices.Contains(allowed, r.Method) {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		a.refuse(w, r, errMethodNotAllowed)
		return
	}
	e.answer(w, r)
}

var errMethodNotAllowed = &gateway.Refusal{Code: codeMethodNotAllowed, Err: errors.New("this endpoint does not have that method")}

// NotFound refuses a path that is no endpoint, or an environment that is not here.
func NotFound(why string) error {
	return &gateway.Refusal{Code: codeNotFound, Err: errors.New(why)}
}

// whileEnabled says that the environment is switched off, while it is, before next looks
// at anything: an app is then to say that, and not what else is wrong. Logging out goes on,
// and so does the question for a refresh, until it is known whose: in cookie mode the SDKs
// ask it before anybody has signed in, and do not start unless they are told that nobody has.
func (a *API) whileEnabled(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := a.env.Enabled(); err != nil {
			a.refuse(w, r, err)
			return
		}
		next(w, r)
	}
}

// refuse answers err, and tells whoever watches.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	a.answer(w, r, AnswerTo(err), err)
}

// refuseExternal answers a refused external JWT or assertion, or the device that sent
// it: with one code that the SDKs know, and the verdict itself as the reason.
func (a *API) refuseExternal(w http.ResponseWriter, r *http.Request, err error) {
	a.answer(w, r, asExternal(err), err)
}

func (a *API) answer(w http.ResponseWriter, r *http.Request, answer Answer, err error) {
	if a.options.Refused != nil {
		a.options.Refused(r, err)
	}
	answer.Write(w)
}
