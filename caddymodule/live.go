package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// live is one environment of a config that was accepted: described by Provision,
// opened by Start or by the first request, whichever comes first.
type live struct {
	name   string
	config *Environment

	exchanger ExchangerOpener
	store     StoreOpener
	providers []*trusted
	cors      *corsPolicy // nil where no origin is named
	origins   *originRule // which pages may have caused a request with cookies
	storage   certmagic.Storage
	headers   *gateHeaders // those of all environments
	lease     *lease
	observer  *observer

	// fingerprint stands for everything that could change a verdict: what was
	// remembered under another one is never asked.
	fingerprint string

	gateway func() (*gateway.Environment, error)

	// What gateway leaves here once it has returned.
	kept     gateway.Store // what the environment's records are in
	nonceKey []byte
}

// provisionEnvironment compiles an environment that was loaded. It reads the
// certificates that it names, and opens nothing.
func provisionEnvironment(ctx caddy.Context, name string, e *Environment, borrowed *lease, headers *gateHeaders) (*live, error) {
	l := &live{name: name, config: e, lease: borrowed, headers: headers, storage: ctx.Storage()}
	if err := l.loadGuests(ctx); err != nil {
		return nil, err
	}
	var err error
	if l.providers, err = trust(e); err != nil {
		return nil, err
	}
	if l.origins, err = newOriginRule(e.CORS); err != nil {
		return nil, fmt.Errorf("cors: %w", err)
	}
	l.cors = newCORSPolicy(e.CORS)
	l.observer = newObserver(ctx, l)
	hideFromLogs(e.hidden())
	l.gateway = sync.OnceValues(l.open)
	return l, nil
}

// loadGuests loads the exchanger and the store, the default ones where none is named.
func (l *live) loadGuests(ctx caddy.Context) error {
	e := l.config
	if e.ExchangeRaw == nil {
		e.ExchangeRaw = json.RawMessage(`{"exchanger":"local"}`)
	}
	if e.StoreRaw == nil {
		e.StoreRaw = json.RawMessage(`{"store":"file"}`)
	}
	exchanger, err := ctx.LoadModule(e, "ExchangeRaw")
	if err != nil {
		return fmt.Errorf("exchange: %w", err)
	}
	kept, err := ctx.LoadModule(e, "StoreRaw")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var ok bool
	if l.exchanger, ok = exchanger.(ExchangerOpener); !ok {
		return fmt.Errorf("exchange: module %T is no exchanger", exchanger)
	}
	if l.store, ok = kept.(StoreOpener); !ok {
		return fmt.Errorf("store: module %T is no store", kept)
	}
	described, err := json.Marshal([]any{e, exchanger, kept})
	l.fingerprint = hashed(string(described))
	return err
}

// opened is the environment, for a request. Where it cannot be opened the config is
// about to be refused: Caddy may have begun to listen for it before that is known.
func (l *live) opened() (*gateway.Environment, error) {
	env, err := l.gateway()
	if err != nil {
		return nil, &gateway.Refusal{
			Code:       gateway.CodeStoreUnavailable,
			RetryAfter: time.Second,
			Err:        errors.New("the gateway is not ready"),
			Cause:      fmt.Errorf("opening environment %s: %w", l.name, err),
		}
	}
	return env, nil
}

// open opens what the environment stands on. Everything comes from the pool, so
// that it outlives this config if the next one asks for the same.
func (l *live) open() (*gateway.Environment, error) {
	o := l.opening()
	exchanger, err := l.exchanger.OpenExchanger(o)
	if err != nil {
		return nil, fmt.Errorf("opening the exchanger: %w", err)
	}
	kept, err := l.store.OpenStore(o)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	l.kept = kept
	if l.nonceKey, err = openNonceKey(o); err != nil {
		return nil, fmt.Errorf("opening the key of the nonces: %w", err)
	}
	memory, err := borrow(l.lease, "memory "+hashed(l.config.ID, l.fingerprint), func() (*store.Cache, func() error, error) {
		c, err := store.NewCache(l.config.CacheSize)
		return c, c.Close, err
	})
	if err != nil {
		return nil, fmt.Errorf("opening the memory of verified tokens: %w", err)
	}
	cfg := gateway.Config{
		Name:      l.name,
		ID:        l.config.ID,
		Disabled:  l.config.Enabled != nil && !*l.config.Enabled,
		Scopes:    l.config.scopeRules(),
		Session:   gateway.SessionRules{Lifetime: time.Duration(l.config.Session.Lifetime), MaxLifetime: time.Duration(l.config.Session.MaxLifetime)},
		Link:      l.config.Link,
		Exchanger: exchanger,
		Store:     timed(kept, moduleName(l.store)),
		Memory:    memory,
		Observer:  l.observer,
	}
	for _, p := range l.providers {
		opened, err := p.open(o)
		if err != nil {
			return nil, fmt.Errorf("opening the keys of issuer %q: %w", p.config.Issuer, err)
		}
		cfg.Providers = append(cfg.Providers, opened)
	}
	return gateway.New(cfg)
}

func (l *live) opening() Opening {
	return Opening{
		Environment:   l.name,
		EnvironmentID: l.config.ID,
		MaxTokenBytes: int(l.config.MaxTokenSize),
		TokenLifetime: l.config.longestLifetime(),
		Storage:       l.storage,
		lease:         l.lease,
	}
}

// scopeRules are nil where the config names no scope: then any may be asked for.
func (e *Environment) scopeRules() map[string]gateway.ScopeRule {
	if len(e.Scopes) == 0 {
		return nil
	}
	rules := make(map[string]gateway.ScopeRule, len(e.Scopes))
	for name, s := range e.Scopes {
		rules[name] = gateway.ScopeRule{MultiUse: s.MultiUse, Lifetime: time.Duration(s.Lifetime)}
	}
	return rules
}

// longestLifetime is the longest that a token minted here can live.
func (e *Environment) longestLifetime() time.Duration {
	longest := max(time.Duration(e.Session.Lifetime), gateway.DefaultElevatedLifetime)
	for _, s := range e.Scopes {
		longest = max(longest, time.Duration(s.Lifetime))
	}
	return longest
}

// hidden is what `format byoa` keeps out of the logs because this environment carries tokens in it.
func (e *Environment) hidden() hidden {
	h := hidden{headers: []string{e.Header}, cookies: []string{sdkCookie}}
	for _, cookie := range []string{e.CookieName, e.Session.Cookie} {
		if cookie != "" {
			h.cookies = append(h.cookies, cookie)
		}
	}
	return h
}

// assertionRules are the verifier's view of the config's.
func (e *Environment) assertionRules(requireIssuer bool) verifier.AssertionRules {
	return verifier.AssertionRules{
		Type:          e.Assertion.Type,
		Audience:      e.Assertion.Audience,
		MaxLifetime:   time.Duration(e.Assertion.MaxLifetime),
		RequireIssuer: requireIssuer,
	}
}
