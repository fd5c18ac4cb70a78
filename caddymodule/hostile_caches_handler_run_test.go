package caddymodule_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A vandal is a handler that changes whatever it was given of a request that says so: not
// by replacing it, which is its good right, but inside.
type vandal struct{}

func (vandal) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_vandal", New: func() caddy.Module { return new(vandal) }}
}

func init() {
	caddy.RegisterModule(vandal{})
	httpcaddyfile.RegisterHandlerDirective("test_vandal", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return vandal{}, nil
	})
}

func (vandal) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Header.Get("X-Vandal") == "" {
		return next.ServeHTTP(w, r)
	}
	for _, values := range r.Header {
		for i := range values {
			values[i] = "vandal"
		}
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for _, name := range []string{"byoa.claims.roles", "byoa.claims.profile", "byoa.claims.profile.address", "byoa.claims.aud", "byoa.claims.deep"} {
		value, _ := repl.Get(name)
		vandalize(value)
	}
	for _, name := range []string{"http.auth.user.id", "http.auth.user.external_id", "http.auth.user.session", "http.auth.user.email", "byoa.claims.sub"} {
		repl.Set(name, "vandal")
	}
	return next.ServeHTTP(w, r)
}

// vandalize changes all that can be reached from a value.
func vandalize(value any) {
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			vandalize(v[name])
			v[name] = "vandal"
		}
		v["admin"] = "vandal"
	case []any:
		for i := range v {
			vandalize(v[i])
			v[i] = "vandal"
		}
	}
}

// What later handlers are told of a user is told of every request that comes with the
// token. One that changes it, by mistake or not, would change who the others are. (go-authcrunch
// handed its cached users out to be changed.)
func TestHandlerCannotChangeWhatIsRemembered(t *testing.T) {
	g := prepareAdmin(t)
	g.load(plainEnvironment, `byoa_api
	route {
		byoa {
			claim_header X-User-Id user_id
			claim_header X-Role    role
		}
		test_vandal
		reverse_proxy {{upstream}} {
			header_up X-Said "{http.auth.user.id} {http.auth.user.external_id} {http.auth.user.session} {http.auth.user.email} {byoa.claims.sub}"
			header_up X-Claims "{byoa.claims.roles} {byoa.claims.profile} {byoa.claims.aud} {byoa.claims.deep} {byoa.claims.profile.address.city}"
		}
	}`)
	claims := map[string]any{
		"role": "reader", "roles": []any{"reader", map[string]any{"name": "guest"}}, "email": "alice@example", "email_verified": true,
		"profile": map[string]any{"address": map[string]any{"city": "Bern"}, "tags": []string{"a", "b"}},
		"aud":     []string{audience, "https://other.example.com"}, "deep": []any{[]any{[]any{"x"}}},
	}
	external := g.external("alice", claims)
	for who, token := range map[string]string{"an external JWT": external, "a session token": g.signInWith(external)} {
		t.Run(who, func(t *testing.T) {
			r := request{path: "/", bearer: token}
			g.remember(r)
			want := told(g.upstream.last(t))
			r.header = http.Header{"X-Vandal": {"on"}}
			g.remember(r)
			spoilt := g.upstream.last(t).Header
			for _, name := range []string{"Authorization", "X-User-Id", "X-Role"} {
				if spoilt.Get(name) != "vandal" {
					t.Errorf("control: %s arrives as %q, so the handler changes nothing", name, spoilt.Get(name))
				}
			}
			if said := spoilt.Get("X-Said"); said != "vandal vandal vandal vandal vandal" {
				t.Errorf("control: the placeholders are %q, so the handler changes nothing", said)
			}
			r.header = nil
			if got, l := g.look(r); got.status != 200 || l != (looks{hits: 1}) {
				t.Fatalf("%d, and the memory was asked %+v, want a hit: this test looks at nothing", got.status, l)
			}
			if got := told(g.upstream.last(t)); got != want {
				t.Errorf("after the handler has changed what it was given, the next request is told\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// told is all that an upstream is told of the user.
func told(r *http.Request) string {
	return fmt.Sprint(r.Header["Authorization"], r.Header["X-User-Id"], r.Header["X-Role"], r.Header["X-Said"], r.Header["X-Claims"])
}
