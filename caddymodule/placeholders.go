package caddymodule

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// loading resolves the placeholders of a config while it is loaded, and stops at
// the first that is unknown or empty: a secret that is not there must not become
// an empty one. Nothing that a client sent ever comes here.
type loading struct {
	replacer *caddy.Replacer
	where    string // goes before the field in the error
	err      error
}

func newLoading(where string) *loading {
	return &loading{replacer: caddy.NewReplacer(), where: where}
}

// text resolves the placeholders in *v, the value of the named field.
func (l *loading) text(field string, v *string) {
	if l.err != nil {
		return
	}
	resolved, err := l.replacer.ReplaceOrErr(*v, true, true)
	if err != nil {
		l.err = fmt.Errorf("%s%s: %w", l.where, field, err)
		return
	}
	*v = resolved
}

// url resolves the placeholders in *v, the value of the named field, and returns what may be
// shown of it: with its placeholders, any of which may be a secret, and without its query,
// even where a placeholder brings that in.
func (l *loading) url(field string, v *string) (shown string) {
	written := *v
	l.text(field, v)
	shown, _ = l.replacer.ReplaceFunc(written, func(name string, value any) (any, error) {
		name = "{" + name + "}"
		if strings.Contains(caddy.ToString(value), "?") {
			name += "?"
		}
		return name, nil
	})
	if shown, _, query := strings.Cut(shown, "?"); query {
		return shown + "?…"
	}
	return shown
}

// list resolves the placeholders in each of vs.
func (l *loading) list(field string, vs []string) {
	for i := range vs {
		l.text(field, &vs[i])
	}
}

// provider resolves the placeholders of p.
func (l *loading) provider(p *Provider) {
	l.text("issuer", &p.Issuer)
	p.shownURL = l.url("jwks_url", &p.JWKSURL)
	l.text("jwks_file", &p.JWKSFile)
	l.list("audience", p.Audience)
	l.text("tls_ca", &p.TLSCA)
}

// resolve replaces the placeholders of e by what they stand for. Its error names the field.
func (e *Environment) resolve() error {
	l := newLoading("")
	l.text("id", &e.ID)
	l.provider(&e.Provider)
	l.text("assertion: type", &e.Assertion.Type)
	l.text("assertion: audience", &e.Assertion.Audience)
	l.list("cors", e.CORS)
	for i, p := range e.Providers {
		l.where = fmt.Sprintf("providers[%d]: ", i)
		if p == nil {
			return fmt.Errorf("providers[%d]: is null", i)
		}
		l.provider(p)
	}
	return l.err
}
