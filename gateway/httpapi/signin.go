package httpapi

import (
	"errors"
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// signedIn is what sign-in and refresh answer.
type signedIn struct {
	// ExpiresAt is the token's exp, in seconds since the epoch. When it comes the SDKs
	// log the user out, and at once if it has passed.
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
	s, u, err := a.env.SignIn(r.Context(), external, present, a.fitsCookie)
	if err != nil {
		a.refuseExternal(w, r, err)
		return
	}
	a.answerSession(w, s, u)
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
	s, u, err := a.refreshed(w, r)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	a.answerSession(w, s, u)
}

func (a *API) refreshed(w http.ResponseWriter, r *http.Request) (*gateway.Session, gateway.User, error) {
	s, err := a.session(w, r)
	if err != nil {
		return nil, gateway.User{}, err
	}
	if s, err = a.env.Refresh(r.Context(), s); err != nil {
		return nil, gateway.User{}, err
	}
	if err := a.fitsCookie(s); err != nil { // one that came in Authorization may not
		return nil, gateway.User{}, err
	}
	u, err := a.env.User(r.Context(), s)
	return s, u, err
}

func (a *API) answerSession(w http.ResponseWriter, s *gateway.Session, u gateway.User) {
	out := signedIn{ExpiresAt: s.Expiry.Unix(), User: userOf(a.env.ID(), s, u), MinifiedJWT: s.Token, JWT: s.Token}
	if a.options.SessionCookie != "" {
		out.MinifiedJWT, out.JWT = "", ""
		http.SetCookie(w, a.sessionCookie(s))
	}
	writeFresh(w, out)
}
