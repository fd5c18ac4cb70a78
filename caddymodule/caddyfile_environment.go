package caddymodule

import (
	"encoding/json"
	"maps"

	"github.com/caddyserver/caddy/v2"
)

// environmentLines are the lines of an environment: its own, and those of its first provider.
var environmentLines = func() lines[Environment] {
	ls := providerLines(func(e *Environment) *Provider { return &e.Provider })
	maps.Copy(ls, lines[Environment]{
		"id":             text(func(e *Environment) *string { return &e.ID }, loaded(checkUUID)),
		"enabled":        toggle(func(e *Environment) **bool { return &e.Enabled }),
		"issuer":         text(func(e *Environment) *string { return &e.Issuer }, loaded(checkText)),
		"provider":       {repeat: true, open: openProvider},
		"cookie_name":    text(func(e *Environment) *string { return &e.CookieName }, checkToken),
		"header":         text(func(e *Environment) *string { return &e.Header }, checkCredentialHeader),
		"max_token_size": size(func(e *Environment) *int64 { return &e.MaxTokenSize }, tokenSizes),
		"cache_size":     size(func(e *Environment) *int64 { return &e.CacheSize }, cacheSizes),
		"assertion":      block(func(e *Environment) *AssertionRules { return &e.Assertion }, assertionLines, nil),
		"session":        block(func(e *Environment) *SessionRules { return &e.Session }, sessionLines, (*SessionRules).checkOrder),
		"scope":          {repeat: true, open: openScope},
		"link":           flag(func(e *Environment) *bool { return &e.Link }),
		"cors":           list(func(e *Environment) *[]string { return &e.CORS }, loaded(checkOrigin)),
		"exchange":       guest(func(e *Environment) *json.RawMessage { return &e.ExchangeRaw }, "byoa.exchangers", "exchanger"),
		"store":          guest(func(e *Environment) *json.RawMessage { return &e.StoreRaw }, "byoa.stores", "store"),
	})
	return ls
}()

// providerLines are the issuer-level lines, for whatever has a provider in it.
func providerLines[T any](of func(*T) *Provider) lines[T] {
	return lines[T]{
		"jwks_url":              text(func(t *T) *string { return &of(t).JWKSURL }, loaded(checkURL)),
		"jwks_file":             text(func(t *T) *string { return &of(t).JWKSFile }, loaded(checkText)),
		"discovery":             flag(func(t *T) *bool { return &of(t).Discovery }),
		"audience":              list(func(t *T) *[]string { return &of(t).Audience }, loaded(checkText)),
		"algorithms":            list(func(t *T) *[]string { return &of(t).Algorithms }, checkAlgorithm),
		"leeway":                duration(func(t *T) *caddy.Duration { return of(t).newLeeway() }, leewayBounds),
		"tls_ca":                text(func(t *T) *string { return &of(t).TLSCA }, loaded(checkText)),
		"insecure_http":         flag(func(t *T) *bool { return &of(t).InsecureHTTP }),
		"trust_email":           toggle(func(t *T) **bool { return &of(t).TrustEmail }),
		"assume_email_verified": flag(func(t *T) *bool { return &of(t).AssumeEmailVerified }),
	}
}

// newLeeway makes room for a leeway, which unlike other durations may be zero.
func (p *Provider) newLeeway() *caddy.Duration {
	if p.Leeway == nil {
		p.Leeway = new(caddy.Duration)
	}
	return p.Leeway
}

var assertionLines = lines[AssertionRules]{
	"type":         text(func(a *AssertionRules) *string { return &a.Type }, loaded(checkText)),
	"audience":     text(func(a *AssertionRules) *string { return &a.Audience }, loaded(checkText)),
	"max_lifetime": duration(func(a *AssertionRules) *caddy.Duration { return &a.MaxLifetime }, assertionBounds),
}

var sessionLines = lines[SessionRules]{
	"lifetime":     duration(func(s *SessionRules) *caddy.Duration { return &s.Lifetime }, sessionBounds),
	"max_lifetime": duration(func(s *SessionRules) *caddy.Duration { return &s.MaxLifetime }, sessionBounds),
	"cookie":       text(func(s *SessionRules) *string { return &s.Cookie }, checkToken),
}

var scopeLines = lines[ScopeRule]{
	"multi_use": flag(func(r *ScopeRule) *bool { return &r.MultiUse }),
	"lifetime":  duration(func(r *ScopeRule) *caddy.Duration { return &r.Lifetime }, scopeBounds),
}
