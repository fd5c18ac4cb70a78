// Package httpapi serves the exchange endpoints of one environment over plain
// net/http: sign-in, elevation, refresh, revocation and the published keys, in the
// shape that the Dynamic SDKs call them.
//
// It decides nothing about tokens: each endpoint reads a request, asks the
// [gateway.Environment], and writes the answer. [AnswerTo] is how any error of the
// gateway is said in HTTP, here and by whoever else serves it.
package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// maxBody is the largest request body that is read.
const maxBody = 64 << 10

// Options say where the endpoints find credentials beside the body and the Authorization header.
type Options struct {
	// ExternalCookie is the cookie that may hold the external JWT at sign-in; empty: none.
	ExternalCookie string

	// SessionCookie is set at sign-in and at refresh, read wherever a session is
	// needed, and cleared at revocation; empty: none. It is HttpOnly, Secure,
	// SameSite=Lax and for the whole host.
	SessionCookie string

	// CookieAllowed refuses a request that a page of another origin may have caused a
	// browser to send with its cookies. Required where a cookie is named.
	CookieAllowed func(r *http.Request) error

	// Refused, if set, is told of every request that was not granted: for logs. It must not answer.
	Refused func(r *http.Request, err error)
}

// API serves the endpoints of one environment, at paths relative to the environment's own.
type API struct {
	env     *gateway.Environment
	options Options
	routes  map[string]map[string]http.HandlerFunc // path, method
}

// New makes the API of env.
func New(env *gateway.Environment, o Options) *API {
	a := &API{env: env, options: o}
	a.routes = map[string]map[string]http.HandlerFunc{
		"/externalAuth/signin":   {http.MethodPost: a.signIn},
		"/externalAuth/verify":   {http.MethodPost: a.verify},
		"/stepUp/check":          {http.MethodPost: a.checkStepUp},
		"/refresh":               {http.MethodPost: a.refresh},
		"/revoke":                {http.MethodPost: a.revoke},
		"/.well-known/jwks":      {http.MethodGet: a.jwks},
		"/.well-known/jwks.json": {http.MethodGet: a.jwks},
	}
	return a
}

// ServeHTTP answers one endpoint. Any path or method that is none is an error in the same shape as all others.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	methods, ok := a.routes[r.URL.Path]
	if !ok {
		NotFound(w, "no endpoint has this path")
		return
	}
	method := r.Method
	if method == http.MethodHead && methods[http.MethodGet] != nil {
		method = http.MethodGet
	}
	handle, ok := methods[method]
	if !ok {
		for allowed := range methods {
			w.Header().Add("Allow", allowed)
		}
		a.refuse(w, r, errMethodNotAllowed)
		return
	}
	handle(w, r)
}

var errMethodNotAllowed = &gateway.Refusal{Code: codeMethodNotAllowed, Err: errors.New("this endpoint does not have that method")}

// NotFound answers a path that is no endpoint, or an environment that is not here.
func NotFound(w http.ResponseWriter, why string) {
	AnswerTo(&gateway.Refusal{Code: codeNotFound, Err: errors.New(why)}).Write(w)
}

// refuse answers err, and tells whoever watches.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	a.answer(w, r, AnswerTo(err), err)
}

// refuseExternal answers a refused external JWT or assertion: with one code that
// the SDKs know, and the verdict itself as the reason.
func (a *API) refuseExternal(w http.ResponseWriter, r *http.Request, err error) {
	a.answer(w, r, asExternal(err), err)
}

func (a *API) answer(w http.ResponseWriter, r *http.Request, answer Answer, err error) {
	if a.options.Refused != nil {
		a.options.Refused(r, err)
	}
	answer.Write(w)
}

// whose tells whose credential something is.
type whose func(ctx context.Context, credential string) (*gateway.Session, error)

// session authenticates the caller of an endpoint: by the token in Authorization, else by the session cookie.
func (a *API) session(r *http.Request) (*gateway.Session, error) {
	return a.sessionBy(r, a.env.Authenticate)
}

func (a *API) sessionBy(r *http.Request, is whose) (*gateway.Session, error) {
	token, err := bearer(r)
	if err != nil {
		return nil, err
	}
	if token != "" {
		return is(r.Context(), token)
	}
	return a.cookieSession(r, is)
}

// cookieSession is the session in the cookie. Where the external cookie is there as
// well, that one says who is here: a session of somebody else is left over, and none.
func (a *API) cookieSession(r *http.Request, is whose) (*gateway.Session, error) {
	token, err := a.cookie(r, a.options.SessionCookie)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, errNoSession
	}
	s, err := is(r.Context(), token)
	if err != nil {
		return nil, err
	}
	external, err := a.cookie(r, a.options.ExternalCookie)
	if err != nil || external == "" {
		return s, err
	}
	now, err := is(r.Context(), external)
	if err != nil {
		return nil, err
	}
	if now.UserID != s.UserID {
		return nil, errNoSession
	}
	return s, nil
}

var errNoSession = &gateway.Refusal{
	Code: gateway.CodeTokenMissing,
	Err:  errors.New("no session: sign in, and send its token as Authorization: Bearer, or its cookie"),
}

// bearer is the token of the Authorization header (RFC 6750, section 2.1). Another scheme is no credential.
func bearer(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) > 1 {
		return "", badRequest("two Authorization headers: send one")
	}
	if len(values) == 0 {
		return "", nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		if namesBearer(values[0]) {
			return "", badRequest("the Authorization header must hold one token after Bearer and a space")
		}
		return "", nil
	}
	token = strings.Trim(token, " ")
	if token == "" || strings.ContainsAny(token, " ,\t") {
		return "", badRequest("the Authorization header must hold one token after Bearer")
	}
	return token, nil
}

// namesBearer says whether a lenient reader would find a Bearer token in credentials
// of another scheme, or written in another way: no cookie may then stand in for it.
func namesBearer(credentials string) bool {
	parts := strings.FieldsFunc(credentials, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	return slices.ContainsFunc(parts, func(part string) bool { return strings.EqualFold(part, "Bearer") })
}

// cookie is the value of a cookie that may stand for the user, or empty.
func (a *API) cookie(r *http.Request, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	cookies := r.CookiesNamed(name)
	if len(cookies) == 0 {
		return "", nil
	}
	if err := a.options.CookieAllowed(r); err != nil {
		return "", err
	}
	if len(cookies) > 1 {
		return "", badRequest("the cookie %q came twice: send it once", name)
	}
	return cookies[0].Value, nil
}

// readBody decodes a JSON object into v. Members that v does not have are the SDKs' business and are passed over.
func readBody(w http.ResponseWriter, r *http.Request, v any) error {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return badRequest("the body must be application/json")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return badRequest("the body is larger than %d bytes", maxBody)
	} else if err != nil {
		return badRequest("the body could not be read")
	}
	if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) || json.Unmarshal(raw, v) != nil {
		return badRequest("the body must be a JSON object whose members have the documented types")
	}
	return nil
}
