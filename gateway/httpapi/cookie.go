package httpapi

import "net/http"

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

func (a *API) sessionCookie(value string) *http.Cookie {
	return SessionCookie(a.options.SessionCookie, value)
}

func (a *API) clearCookie(w http.ResponseWriter) {
	if a.options.SessionCookie != "" {
		cookie := a.sessionCookie("")
		cookie.MaxAge = -1
		http.SetCookie(w, cookie)
	}
}

// clearLeftover clears a session cookie that stands for no session of whoever is here.
func (a *API) clearLeftover(w http.ResponseWriter, r *http.Request, err error) {
	if AnswerTo(err).Status == http.StatusUnauthorized && len(r.CookiesNamed(a.options.SessionCookie)) > 0 {
		a.clearCookie(w)
	}
}
