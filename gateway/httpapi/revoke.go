package httpapi

import (
	"context"
	"net/http"
)

// revoke ends what the request brings, also while the environment is switched off: the
// session in Authorization and the one in the cookie, whoever else an external cookie
// says is here. Nobody has to be somebody to give up what they have.
//
// The cookie is cleared where it came and what was in it is over. Where it did not come,
// the page may be one for which browsers do not send it, and has no say in it; where
// nobody can tell whether the session has ended, who keeps it can ask again.
func (a *API) revoke(w http.ResponseWriter, r *http.Request) {
	inHeader, inCookie, err := a.sessionTokens(r)
	if err == nil {
		err = a.giveUp(r.Context(), inHeader, inCookie)
	}
	if inCookie != "" && (err == nil || isVerdict(err)) {
		a.clearCookie(w)
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeNothing(w)
}

// sessionTokens are the sessions that r brings, in both places. Empty: there is none.
func (a *API) sessionTokens(r *http.Request) (inHeader, inCookie string, err error) {
	if inHeader, err = authorization(r); err == nil {
		inCookie, err = a.cookie(r, a.options.SessionCookie)
	}
	return inHeader, inCookie, err
}

// giveUp ends the sessions of tokens. A token that is worth nothing is no failure where
// another one was given up.
func (a *API) giveUp(ctx context.Context, tokens ...string) error {
	ended, verdict := false, error(errNoSession)
	for _, token := range tokens {
		if token == "" {
			continue
		}
		switch err := a.end(ctx, token); {
		case err == nil:
			ended = true
		case isVerdict(err):
			verdict = err
		default:
			return err
		}
	}
	if ended {
		return nil
	}
	return verdict
}

func (a *API) end(ctx context.Context, token string) error {
	s, err := a.env.Identify(ctx, token)
	if err != nil {
		return err
	}
	return a.env.Revoke(ctx, s)
}
