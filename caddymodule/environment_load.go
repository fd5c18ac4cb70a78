package caddymodule

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/google/uuid"
)

// What stands where a config says nothing.
const (
	defaultEnvironment  = "default"
	defaultHeader       = "Authorization"
	defaultTokenSize    = 16 << 10
	defaultCacheSize    = 64 << 20
	defaultAssertion    = caddy.Duration(time.Hour)
	defaultSession      = caddy.Duration(time.Hour)
	defaultSessionReach = caddy.Duration(24 * time.Hour)
	defaultScope        = caddy.Duration(5 * time.Minute)
)

// Beyond these bounds a value is a mistake: a token that never grows old, or one that nobody can use.
var (
	assertionBounds = durations{time.Second, 24 * time.Hour}
	sessionBounds   = durations{time.Second, 365 * 24 * time.Hour}
	scopeBounds     = durations{time.Second, 24 * time.Hour}
	tokenSizes      = sizes{256, 1 << 20}
	cacheSizes      = sizes{64 << 10, 1 << 40}
)

// environmentNames is the namespace of the UUIDs that environments without an id get from their names.
var environmentNames = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/caddy-byoa/caddy-byoa"))

// load makes e, as it was decoded, ready for use: placeholders resolved, defaults
// set, every value checked. Its error names the field.
func (e *Environment) load(name string) error {
	if e == nil {
		return errors.New("is null")
	}
	if err := e.resolve(); err != nil {
		return err
	}
	e.setDefaults(name)
	return e.validate()
}

func (e *Environment) setDefaults(name string) {
	e.ID = cmp.Or(e.ID, uuid.NewSHA1(environmentNames, []byte(name)).String())
	e.Header = cmp.Or(e.Header, defaultHeader)
	e.MaxTokenSize = cmp.Or(e.MaxTokenSize, defaultTokenSize)
	e.CacheSize = cmp.Or(e.CacheSize, defaultCacheSize)
	e.Assertion.MaxLifetime = cmp.Or(e.Assertion.MaxLifetime, defaultAssertion)
	e.Session.MaxLifetime = cmp.Or(e.Session.MaxLifetime, max(defaultSessionReach, e.Session.Lifetime))
	e.Session.Lifetime = cmp.Or(e.Session.Lifetime, min(defaultSession, e.Session.MaxLifetime))
	for scope, rule := range e.Scopes {
		rule.Lifetime = cmp.Or(rule.Lifetime, defaultScope)
		e.Scopes[scope] = rule
	}
	for _, p := range e.allProviders() {
		p.setDefaults()
	}
}

// validate returns an error, which names the field, if no gate should stand on e.
func (e *Environment) validate() error {
	return cmp.Or(
		in("id", checkUUID(e.ID)),
		e.validateProviders(),
		e.checkNames(),
		in("max_token_size", tokenSizes.check(e.MaxTokenSize)),
		in("cache_size", cacheSizes.check(e.CacheSize)),
		in("assertion", e.Assertion.validate()),
		in("session", e.Session.validate()),
		e.validateScopes(),
		in("cors", checkEach(e.CORS, checkOrigin)),
		e.checkParts(),
	)
}

func (e *Environment) validateProviders() error {
	for i, p := range e.allProviders() {
		err := p.validate()
		switch {
		case err == nil:
		case i == 0:
			return err
		case checkText(p.Issuer) != nil:
			return fmt.Errorf("providers[%d]: %w", i-1, err)
		default:
			return fmt.Errorf("provider %s: %w", p.Issuer, err)
		}
	}
	return e.checkIssuers()
}

// checkIssuers wants a different issuer for each provider: it is the issuer that
// says whose keys a token is held against.
func (e *Environment) checkIssuers() error {
	seen := make(map[string]bool)
	for _, p := range e.allProviders() {
		if seen[p.Issuer] {
			return fmt.Errorf("provider %s: two providers have this issuer", p.Issuer)
		}
		seen[p.Issuer] = true
	}
	return nil
}

// checkNames judges the headers and cookies that the environment reads and sets.
func (e *Environment) checkNames() error {
	err := in("header", checkCredentialHeader(e.Header))
	if e.CookieName != "" {
		err = cmp.Or(err, in("cookie_name", checkToken(e.CookieName)))
	}
	if e.Session.Cookie != "" {
		err = cmp.Or(err, in("session: cookie", checkToken(e.Session.Cookie)))
	}
	return cmp.Or(err, e.checkCookies())
}

// checkCookies wants the login system's cookie and the gateway's own apart.
func (e *Environment) checkCookies() error {
	if e.CookieName != "" && e.CookieName == e.Session.Cookie {
		return errors.New("session: cookie: must differ from cookie_name, which the login system sets")
	}
	return nil
}

func (a *AssertionRules) validate() error {
	err := in("max_lifetime", assertionBounds.check(a.MaxLifetime))
	if a.Type != "" {
		err = cmp.Or(err, in("type", checkText(a.Type)))
	}
	if a.Audience != "" {
		err = cmp.Or(err, in("audience", checkText(a.Audience)))
	}
	return err
}

func (s *SessionRules) validate() error {
	return cmp.Or(
		in("lifetime", sessionBounds.check(s.Lifetime)),
		in("max_lifetime", sessionBounds.check(s.MaxLifetime)),
		s.checkOrder(),
	)
}

// checkOrder wants the life of one token within that of the session, where both are set.
func (s *SessionRules) checkOrder() error {
	if s.MaxLifetime != 0 && s.Lifetime > s.MaxLifetime {
		return fmt.Errorf("lifetime: %s is longer than max_lifetime, %s", brief(s.Lifetime), brief(s.MaxLifetime))
	}
	return nil
}

func (e *Environment) validateScopes() error {
	if e.Scopes != nil && len(e.Scopes) == 0 {
		return errors.New("scopes: empty; leave it out to allow any scope")
	}
	for _, scope := range slices.Sorted(maps.Keys(e.Scopes)) {
		if err := checkScope(scope); err != nil {
			return in("scopes", err)
		}
		if err := scopeBounds.check(e.Scopes[scope].Lifetime); err != nil {
			return fmt.Errorf("scope %s: lifetime: %w", scope, err)
		}
	}
	return nil
}

// checkParts refuses what this version cannot do, before Caddy would call it an unknown module.
func (e *Environment) checkParts() error {
	for _, feature := range []string{
		"exchange " + guestName(e.ExchangeRaw, "exchanger"),
		"store " + guestName(e.StoreRaw, "store"),
	} {
		if err := checkAvailable(feature); err != nil {
			return in(feature, err)
		}
	}
	return nil
}

// guestName is the name of the module that raw configures. What cannot be read is left for Caddy to refuse.
func guestName(raw json.RawMessage, inlineKey string) string {
	var keys map[string]any
	_ = json.Unmarshal(raw, &keys)
	name, _ := keys[inlineKey].(string)
	return name
}

// allProviders are all providers of the environment, its own first.
func (e *Environment) allProviders() []*Provider {
	return append([]*Provider{&e.Provider}, e.Providers...)
}

// requireIssuer says whether assertions of p must name their issuer: where another
// provider may have the same keys, a signature does not tell whose assertion it is.
func (e *Environment) requireIssuer(p *Provider) bool {
	return slices.ContainsFunc(e.allProviders(), func(other *Provider) bool {
		return other != p && other.sharesKeys(p)
	})
}

// tokenTypes are those of tokens that sign in (RFC 7519 section 5.1, RFC 9068 section 2.1).
var tokenTypes = []string{"JWT", "at+jwt", "application/at+jwt"}

// warnings are what is allowed and seldom meant.
func (e *Environment) warnings() []string {
	var ws []string
	own := e.Assertion
	if own.Type == "" && own.Audience == "" {
		w := "assertion: neither type nor audience is set, so assertions that name their issuer are refused: they could be ordinary access tokens"
		if slices.ContainsFunc(e.allProviders(), e.requireIssuer) {
			w += "; and those that do not are refused too, where providers share their keys, or may by discovery"
		}
		ws = append(ws, w)
	}
	if slices.ContainsFunc(tokenTypes, func(t string) bool { return strings.EqualFold(t, own.Type) }) {
		ws = append(ws, "assertion: type: "+own.Type+" is what login systems write into their own tokens, and no token of this type signs in: choose one of your own, such as step-up+jwt")
	}
	if e.Link && len(e.Providers) == 0 {
		ws = append(ws, "link: there is one login system only, so nothing can be linked: add a provider, or leave link out")
	}
	for i, p := range e.allProviders() {
		if own.Type == "" && own.Audience != "" && slices.Contains(p.Audience, own.Audience) {
			ws = append(ws, "assertion: audience: is an audience of access tokens too, so assertions that name their issuer are refused; choose another, or set type")
		}
		for _, w := range p.warnings() {
			if i > 0 {
				w = "provider " + p.Issuer + ": " + w
			}
			ws = append(ws, w)
		}
	}
	return ws
}
