package caddymodule

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// environmentView is one environment as its config and the operator's switch have it.
// Lists are empty rather than null, and durations as Go writes them.
type environmentView struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	switchView
	Header     string         `json:"header"`
	CookieName string         `json:"cookie_name"`
	Session    sessionView    `json:"session"`
	Providers  []providerView `json:"providers"`
	Assertion  assertionView  `json:"assertion"`
	Scopes     []scopeView    `json:"scopes"` // none: any well-formed one may be asked for
	Link       bool           `json:"link"`
	CORS       []string       `json:"cors"`
	Exchanger  string         `json:"exchanger"`
	Store      string         `json:"store"`
}

type sessionView struct {
	Lifetime    string `json:"lifetime"`
	MaxLifetime string `json:"max_lifetime"`
	Cookie      string `json:"cookie"`
}

type providerView struct {
	Issuer     string   `json:"issuer"`
	JWKSURL    string   `json:"jwks_url"`
	JWKSFile   string   `json:"jwks_file"`
	Discovery  bool     `json:"discovery"`
	Audience   []string `json:"audience"`
	Algorithms []string `json:"algorithms"` // none: every asymmetric one
}

type assertionView struct {
	Type        string `json:"type"`
	Audience    string `json:"audience"`
	MaxLifetime string `json:"max_lifetime"`
}

type scopeView struct {
	Name     string `json:"name"`
	MultiUse bool   `json:"multi_use"`
	Lifetime string `json:"lifetime"`
}

// adminEnvironments answers GET /byoa/environments.
func adminEnvironments(w http.ResponseWriter, _ *http.Request, app *App) error {
	views := make([]environmentView, 0, len(app.live))
	for _, name := range app.names() {
		l := app.live[name]
		env, err := l.gateway()
		if err != nil {
			return adminFailure(err)
		}
		views = append(views, viewOf(l, env))
	}
	return writeAdmin(w, http.StatusOK, views)
}

func viewOf(l *live, env *gateway.Environment) environmentView {
	e := l.config
	return environmentView{
		Name:       l.name,
		ID:         e.ID,
		switchView: switchOf(env),
		Header:     e.Header,
		CookieName: e.CookieName,
		Session:    sessionView{span(e.Session.Lifetime), span(e.Session.MaxLifetime), e.Session.Cookie},
		Providers:  providerViews(e),
		Assertion:  assertionView{e.Assertion.Type, e.Assertion.Audience, span(e.Assertion.MaxLifetime)},
		Scopes:     scopeViews(e),
		Link:       e.Link,
		CORS:       listed(e.CORS),
		Exchanger:  moduleName(l.exchanger),
		Store:      moduleName(l.store),
	}
}

func providerViews(e *Environment) []providerView {
	var views []providerView
	for _, p := range e.allProviders() {
		views = append(views, providerView{
			Issuer:     p.Issuer,
			JWKSURL:    p.shownURL,
			JWKSFile:   p.JWKSFile,
			Discovery:  p.Discovery,
			Audience:   listed(p.Audience),
			Algorithms: listed(p.Algorithms),
		})
	}
	return views
}

func scopeViews(e *Environment) []scopeView {
	views := make([]scopeView, 0, len(e.Scopes))
	for _, name := range slices.Sorted(maps.Keys(e.Scopes)) {
		rule := e.Scopes[name]
		views = append(views, scopeView{name, rule.MultiUse, span(rule.Lifetime)})
	}
	return views
}

func span(d caddy.Duration) string { return time.Duration(d).String() }

// listed is all, not null where it is empty.
func listed(all []string) []string { return append([]string{}, all...) }
