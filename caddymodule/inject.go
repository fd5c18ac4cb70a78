package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// longestHeader is the longest claim that is made a header: upstreams refuse the whole
// request for the sake of a longer one.
const longestHeader = 4 << 10

// inject sets what the upstream gets to know: the tokens, the claims, and for later
// handlers of this server the placeholders. Nothing of it can come from the client, whose
// headers of these names are gone by now.
func (g *Gate) inject(r *http.Request, a *admission) {
	tell(r, a)
	if a.session == nil {
		return
	}
	token := a.session.Token
	if el := a.proof.Granted; el != nil && g.ElevatedHeader != "" {
		r.Header.Set(g.ElevatedHeader, el.Token)
	} else if el != nil {
		token = el.Token
	}
	r.Header.Set(g.TokenHeader.Name, strings.TrimPrefix(g.TokenHeader.Scheme+" "+token, " "))
	for _, h := range g.ClaimHeaders {
		if value, ok := headerValue(sessionValue(a.session, h.Claim)); ok {
			r.Header.Set(h.Name, value)
		}
	}
}

// injectAll sets what every gate sets that has let the request on, the first one first.
func (a *admission) injectAll(r *http.Request, as *admission) {
	if a.earlier != nil {
		a.earlier.injectAll(r, as)
	}
	a.gate.inject(r, as)
}

// keepsQuery says whether a gate that let the request on passes the external JWT on in this parameter.
func (a *admission) keepsQuery(param string) bool {
	for ; a != nil; a = a.earlier {
		if a.gate.KeepExternal && a.gate.AllowQuery == param {
			return true
		}
	}
	return false
}

// withdraw takes back what inject set.
func (g *Gate) withdraw(r *http.Request) {
	for _, name := range g.managedNames() {
		r.Header.Del(name)
	}
}

// sessionValue is a property of the session by one of its three names, or else a claim of the external JWT.
func sessionValue(s *gateway.Session, name string) any {
	switch name {
	case "user_id":
		return s.UserID
	case "external_id":
		return s.ExternalID()
	case "session":
		return s.ID
	default:
		value, _ := s.External.Get(name)
		return value
	}
}

// headerValue says how a claim stands in a header, if it can: a string of visible
// ASCII and inner spaces, a number, or a boolean.
func headerValue(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, v != "" && len(v) <= longestHeader && strings.TrimSpace(v) == v && isVisible(v)
	case json.Number:
		return v.String(), len(v) <= longestHeader
	case bool:
		return strconv.FormatBool(v), true
	default:
		return "", false
	}
}

func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// forgetQuery takes a parameter out of the URI of a request, wherever Caddy keeps it:
// the original one is in the context, for placeholders, CGI and the error routes. The
// request is changed in place, because those are given the server's own.
//
// Where a handler before the gate has gone on with a copy, as `tracing` does, the server's
// own is out of reach. It shares its URLs with the copy, but not the line that
// {http.request.orig_uri} is made of, so the replacer is told what that one says.
func forgetQuery(r *http.Request, param string) {
	dropQuery(r.URL, param)
	r.RequestURI = r.URL.RequestURI()
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || original.URL == nil {
		return
	}
	dropQuery(original.URL, param)
	original.RequestURI = original.URL.RequestURI()
	*r = *r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, original))
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set("http.request.orig_uri", original.RequestURI)
	}
}

// cleanReferrer takes out of the Referer what is a token there, but for the one that this gate
// passes on in the query.
func (g *Gate) cleanReferrer(r *http.Request, keepOwn bool) {
	params := g.params()
	if keepOwn {
		params = slices.DeleteFunc(slices.Clone(params), func(param string) bool { return param == g.AllowQuery })
	}
	if len(params) > 0 {
		dropReferrerQuery(r.Header, params)
	}
}

// expiryOf is when a stream of this session ends: with the token that the client brought.
func expiryOf(s *gateway.Session) time.Time {
	if s.Presented {
		return s.Expiry
	}
	return s.External.Expiry
}

// standing returns nil for as long as the session of an open stream still counts: where it
// began, and in the config in force, which may have another store or be switched off.
func (g *Gate) standing(s *gateway.Session) func() error {
	return func() error {
		if err := stands(g.live, s); err != nil {
			return err
		}
		return standsInForce(g.live, s)
	}
}

func stands(l *live, s *gateway.Session) error {
	env, err := l.gateway()
	if err != nil {
		return err
	}
	return env.Standing(s)
}

// standsInForce asks the environment that has this one's id now. While no config is in
// force, as when Caddy ends, there is nobody to ask.
func standsInForce(began *live, s *gateway.Session) error {
	app, leave := running.enter()
	defer leave()
	if app == nil || app.lease == began.lease {
		return nil
	}
	now := app.environmentWith(began.config.ID)
	if now == nil {
		return errEnvironmentGone
	}
	return stands(now, s)
}

var errEnvironmentGone = errors.New("its environment is no longer in the config")
