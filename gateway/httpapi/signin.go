package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// signedIn is what sign-in and refresh answer.
type signedIn struct {
	// ExpiresAt is the token's exp, in seconds since the epoch. When it comes the SDKs
	// log the user out; one in the past they take for now.
	ExpiresAt int64 `json:"expiresAt"`

	User user `json:"user"`

	// MinifiedJWT is the session token, which the SDKs keep where scripts can read it and
	// send in Authorization. It is left out where the session travels in a cookie that they cannot read.
	MinifiedJWT string `json:"minifiedJwt,omitempty"`

	// JWT is the same token once more: it is what getAuthToken of the React SDK gives an app
	// for its own API.
	JWT string `json:"jwt,omitempty"`
}

// signIn exchanges the external JWT in the body, else in the configured cookie, for a
// session, and may link the two identities where Authorization brings a session already.
func (a *API) signIn(w http.ResponseWriter, r *http.Request) {
	external, err := a.external(r)
	if err != nil {
		a.refuseExternal(w, r, err)
		return
	}
	present, err := a.present(r)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	s, u, err := a.env.SignIn(r.Context(), external, present)
	if err != nil {
		a.refuseExternal(w, r, err)
		return
	}
	a.answerSession(w, r, s, u)
}

// external is the JWT to sign in with.
func (a *API) external(r *http.Request) (string, error) {
	var in struct {
		JWT string `json:"jwt"`
	}
	err := readBody(r, &in)
	if err == nil && in.JWT == "" {
		in.JWT, err = a.cookie(r, a.options.ExternalCookie)
	}
	if err == nil && in.JWT == "" {
		err = &gateway.Refusal{
			Code: gateway.CodeTokenMissing,
			Err:  errors.New("no external JWT, neither in the body's jwt nor in a cookie"),
		}
	}
	return in.JWT, err
}

// refresh carries the session on. The body, if there is one, says nothing.
func (a *API) refresh(w http.ResponseWriter, r *http.Request) {
	s, u, err := a.refreshed(r)
	if err != nil {
		a.clearLeftover(w, r, err)
		a.refuse(w, r, err)
		return
	}
	a.answerSession(w, r, s, u)
}

func (a *API) refreshed(r *http.Request) (*gateway.Session, gateway.User, error) {
	s, err := a.session(r)
	if err != nil {
		return nil, gateway.User{}, err
	}
	if s, err = a.env.Refresh(r.Context(), s); err != nil {
		return nil, gateway.User{}, err
	}
	u, err := a.env.User(r.Context(), s)
	return s, u, err
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
	writeNothing(w)
}

func (a *API) answerSession(w http.ResponseWriter, r *http.Request, s *gateway.Session, u gateway.User) {
	out := signedIn{ExpiresAt: s.Expiry.Unix(), User: userOf(a.env.ID(), s, u), MinifiedJWT: s.Token, JWT: s.Token}
	if a.options.SessionCookie != "" {
		out.MinifiedJWT, out.JWT = "", ""
		cookie := a.sessionCookie(s.Token)
		cookie.Expires = s.Expiry
		if size := len(cookie.String()); size > largestCookie {
			a.refuse(w, r, fmt.Errorf("the session cookie would have %d bytes, and browsers drop what is over %d: "+
				"the login system's JWT has too many claims for one", size, largestCookie))
			return
		}
		http.SetCookie(w, cookie)
	}
	writeFresh(w, out)
}
