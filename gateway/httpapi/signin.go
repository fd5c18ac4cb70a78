package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// signedIn is what sign-in and refresh answer.
type signedIn struct {
	ExpiresAt   int64  `json:"expiresAt"` // seconds since the epoch
	User        user   `json:"user"`
	MinifiedJWT string `json:"minifiedJwt,omitempty"` // left out where the session travels in a cookie that scripts cannot read
}

// signIn exchanges the external JWT in the body, else in the configured cookie, for a session.
func (a *API) signIn(w http.ResponseWriter, r *http.Request) {
	var in struct {
		JWT string `json:"jwt"`
	}
	err := readBody(w, r, &in)
	if err == nil && in.JWT == "" {
		in.JWT, err = a.cookie(r, a.options.ExternalCookie)
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	if in.JWT == "" {
		a.refuseExternal(w, r, &gateway.Refusal{Code: gateway.CodeTokenMissing, Err: errors.New("no external JWT, neither in the body's jwt nor in a cookie")})
		return
	}
	s, err := a.env.SignIn(r.Context(), in.JWT)
	if err != nil {
		a.refuseExternal(w, r, err)
		return
	}
	a.answerSession(w, r, s)
}

// refresh carries the session on. The body, if there is one, says nothing.
func (a *API) refresh(w http.ResponseWriter, r *http.Request) {
	s, err := a.session(r)
	if err == nil {
		s, err = a.env.Refresh(r.Context(), s)
	}
	if err != nil {
		a.clearLeftover(w, r, err)
		a.refuse(w, r, err)
		return
	}
	a.answerSession(w, r, s)
}

// revoke ends the session, also while the environment is switched off. Its cookie is
// cleared whatever the session was worth.
func (a *API) revoke(w http.ResponseWriter, r *http.Request) {
	s, err := a.sessionBy(r, a.env.Identify)
	if gateway.CodeOf(err) != gateway.CodeCrossOrigin {
		a.clearCookie(w)
	}
	if err == nil {
		err = a.env.Revoke(r.Context(), s)
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// largestCookie is what browsers keep; a larger one they drop without a word (RFC 6265, section 6.1).
const largestCookie = 4096

func (a *API) answerSession(w http.ResponseWriter, r *http.Request, s *gateway.Session) {
	out := signedIn{ExpiresAt: s.Expiry.Unix(), User: userOf(a.env.ID(), s), MinifiedJWT: s.Token}
	if a.options.SessionCookie != "" {
		out.MinifiedJWT = ""
		cookie := a.sessionCookie(s.Token)
		cookie.Expires = s.Expiry
		if size := len(cookie.String()); size > largestCookie {
			a.refuse(w, r, fmt.Errorf("the session cookie would have %d bytes, and browsers drop what is over %d: "+
				"the login system's JWT has too many claims for one", size, largestCookie))
			return
		}
		http.SetCookie(w, cookie)
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, out)
}

// clearLeftover clears a session cookie that stands for no session of whoever is here.
func (a *API) clearLeftover(w http.ResponseWriter, r *http.Request, err error) {
	if AnswerTo(err).Status == http.StatusUnauthorized && len(r.CookiesNamed(a.options.SessionCookie)) > 0 {
		a.clearCookie(w)
	}
}

func (a *API) clearCookie(w http.ResponseWriter) {
	if a.options.SessionCookie != "" {
		cookie := a.sessionCookie("")
		cookie.MaxAge = -1
		http.SetCookie(w, cookie)
	}
}

func (a *API) sessionCookie(value string) *http.Cookie {
	return SessionCookie(a.options.SessionCookie, value)
}

// SessionCookie is the cookie that carries a session: out of reach of scripts, of
// plain HTTP, and of requests that another site causes.
func SessionCookie(name, value string) *http.Cookie {
	return &http.Cookie{
		Name:     name,
		Value:    value,
		Path:     "/",
		HttpOnly: true,
		Secure:   true,
		SameSite: http.SameSiteLaxMode,
	}
}
