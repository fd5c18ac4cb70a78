package caddymodule

import (
	"context"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// told is of whose claims the placeholders of a request tell later handlers: nobody's, until a gate
// has let it on.
type told struct{ session *gateway.Session }

type toldKey struct{}

// userPlaceholders are those of Caddy's own handlers that say who somebody is, and more of the kind.
var userPlaceholders = []string{
	"http.auth.user.id", "http.auth.user.external_id", "http.auth.user.session", "http.auth.user.email", "http.auth.user.scope",
}

// tell tells later handlers, and the access log, who this is. Where nobody is signed in here, what
// another handler says stays, as that of `basic_auth` does.
func tell(r *http.Request, a *admission) {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	s := a.session
	if s == nil {
		sayNobody(r, repl)
		return
	}
	tellClaims(r, repl).session = s
	if el := a.proof.Granted; el != nil {
		repl.Set("http.auth.user.scope", el.Scopes.String())
		return // the rest was said before
	}
	repl.Set("http.auth.user.id", s.UserID)
	repl.Set("http.auth.user.external_id", s.ExternalID())
	repl.Set("http.auth.user.session", s.ID)
	repl.Set("http.auth.user.email", s.Email)
	repl.Set("http.auth.user.scope", "")
}

// tellNobody is [tell] beside a gate.
func tellNobody(r *http.Request) {
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		sayNobody(r, repl)
	}
}

// sayNobody makes empty what there is nothing to say of: an unknown placeholder would stay in a
// header as it is written in the config, and be one and the same user to an upstream.
func sayNobody(r *http.Request, repl *caddy.Replacer) {
	tellClaims(r, repl)
	for _, name := range userPlaceholders {
		if _, known := repl.Get(name); !known {
			repl.Set(name, "")
		}
	}
}

// tellClaims answers for the claims of whoever will be told, with nothing until then, and for
// those that are not there. It changes the request in place, once.
func tellClaims(r *http.Request, repl *caddy.Replacer) *told {
	if t, begun := r.Context().Value(toldKey{}).(*told); begun {
		return t
	}
	t := new(told)
	*r = *r.WithContext(context.WithValue(r.Context(), toldKey{}, t))
	repl.Map(func(key string) (any, bool) {
		name, ok := strings.CutPrefix(key, "byoa.claims.")
		if !ok {
			return nil, false
		}
		if t.session == nil {
			return "", true
		}
		value, _ := t.session.External.Get(name)
		return value, true
	})
	return t
}
