package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

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

// present is the session to whose user a sign-in may link: the one in Authorization,
// where the environment links at all, and nil where there is none. A session that has
// ended is none either: the SDKs go on sending it until somebody tells them, and to sign
// in is the way out of that. But where nobody can tell whether it has ended, nobody signs
// in: it would make a user of its own of an identity that was to be linked.
//
// A cookie is not looked at. A browser sends it unasked, so it says nothing of whom the
// page means to link to.
func (a *API) present(r *http.Request) (*gateway.Session, error) {
	if !a.env.Linking() {
		return nil, nil
	}
	token, err := bearer(r)
	if err != nil || token == "" {
		return nil, err
	}
	s, err := a.env.Authenticate(r.Context(), token)
	if err != nil && AnswerTo(err).Status == http.StatusUnauthorized {
		return nil, nil
	}
	return s, err
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
