package httpapi

import (
	"fmt"
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// largestCookie is what browsers keep; a larger one they drop without a word (RFC 6265, section 6.1).
const largestCookie = 4096

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

// cookie is the value of a cookie that may stand for the user, or empty.
func (a *API) cookie(r *http.Request, name string) (string, error) {
	lines := r.Header["Cookie"]
	if err := CheckCookies(lines, name); err != nil {
		return "", err
	}
	value, err := CookieToken(lines, name)
	if err != nil || value == "" {
		return "", err
	}
	if err := a.options.CookieAllowed(r); err != nil {
		return "", err
	}
	return value, nil
}

// sessionCookie is the cookie that carries s, and ends with it.
func (a *API) sessionCookie(s *gateway.Session) *http.Cookie {
	cookie := SessionCookie(a.options.SessionCookie, s.Token)
	cookie.Expires = s.Expiry
	return cookie
}

// fitsCookie returns nil, or that browsers would drop the cookie of a session: the user would seem
// signed in, and not be. Where sessions travel in no cookie, each of them fits.
func (a *API) fitsCookie(s *gateway.Session) error {
	if a.options.SessionCookie == "" {
		return nil
	}
	size := len(a.sessionCookie(s).String())
	if size <= largestCookie {
		return nil
	}
	return &verifier.Error{
		Code: verifier.CodeTokenTooLarge,
		Err: fmt.Errorf("the session cookie would have %d bytes, and browsers drop what is over %d: "+
			"the login system's JWT has too many claims for one", size, largestCookie),
	}
}

// clearCookie has the browser forget the session cookie, which has come with this request.
func (a *API) clearCookie(w http.ResponseWriter) {
	cookie := SessionCookie(a.options.SessionCookie, "")
	cookie.MaxAge = -1
	http.SetCookie(w, cookie)
}
