package httpapi

import (
	"errors"
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// session authenticates the caller of an endpoint: by the token in Authorization, else by
// the session cookie.
func (a *API) session(w http.ResponseWriter, r *http.Request) (*gateway.Session, error) {
	if err := CheckCookies(r.Header["Cookie"], a.options.ExternalCookie, a.options.SessionCookie); err != nil {
		return nil, err
	}
	token, err := authorization(r)
	if err != nil {
		return nil, err
	}
	if token != "" {
		return a.env.Authenticate(r.Context(), token)
	}
	return a.cookieSession(w, r)
}

// cookieSession is the session in the cookie. Where the external cookie is there as
// well, that one says who is here: a session of somebody else is left over, and none.
// The cookie of a session that is none is cleared.
func (a *API) cookieSession(w http.ResponseWriter, r *http.Request) (*gateway.Session, error) {
	external, err := a.cookie(r, a.options.ExternalCookie)
	if err != nil {
		return nil, err
	}
	token, err := a.cookie(r, a.options.SessionCookie)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, errNoSession
	}
	s, err := a.env.Authenticate(r.Context(), token)
	if isVerdict(err) {
		a.clearCookie(w)
	}
	if err != nil || external == "" {
		return s, err
	}
	now, err := a.env.Authenticate(r.Context(), external)
	if err != nil {
		return nil, err
	}
	if now.UserID != s.UserID {
		a.clearCookie(w)
		return nil, errNoSession
	}
	return s, nil
}

// isVerdict says whether err is about what was brought, and not about a failure of ours,
// the environment, or who may ask.
func isVerdict(err error) bool { return err != nil && AnswerTo(err).Status == http.StatusUnauthorized }

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
	token, err := authorization(r)
	if err != nil || token == "" || !a.env.Linking() {
		return nil, err
	}
	s, err := a.env.Authenticate(r.Context(), token)
	if isVerdict(err) {
		return nil, nil
	}
	return s, err
}

// authorization is the token of the Authorization header, or empty.
func authorization(r *http.Request) (string, error) {
	return HeaderToken("Authorization", r.Header["Authorization"])
}
