package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// What an [Environment] uses where its [Config] says nothing.
const (
	DefaultSessionLifetime    = time.Hour
	DefaultSessionMaxLifetime = 24 * time.Hour
	DefaultElevatedLifetime   = 5 * time.Minute
)

const (
	// renewEarly is how long before its expiry a remembered session token is
	// exchanged anew, so that what reaches the upstream can still be used there.
	renewEarly = 15 * time.Second

	// rememberPast is how much longer than a token lives its use and its revocation are remembered: clocks differ.
	rememberPast = 10 * time.Minute

	// flightTimeout bounds one verification and exchange, whoever waits for it.
	flightTimeout = 15 * time.Second

	// storeRetry is what a client is told when the store cannot answer.
	storeRetry = 5 * time.Second
)

// Config describes an [Environment]. Its zero values are the strict ones.
type Config struct {
	Name string // for logs and metrics
	ID   string // a UUID; part of everything derived: user ids, session ids, records

	// Disabled refuses everything with external_auth_disabled. Where it is false,
	// an operator can still switch the environment off: see [Environment.Disable].
	Disabled bool

	// Providers are the login systems that are trusted, at least one, no two of one issuer.
	Providers []Provider

	// Scopes that an assertion may ask for. Nil allows every well-formed scope, single use.
	Scopes map[string]ScopeRule

	Session SessionRules

	// Link lets a sign-in join an identity to the user of a session: see [Environment.SignIn].
	// Where it is false nothing more is linked, and the links that there are count.
	Link bool

	Exchanger Exchanger // required
	Store     Store     // required
	Memory    Cache     // required
	Observer  Observer  // nil: nobody watches
	Now       func() time.Time
}

// A Provider is one login system.
type Provider struct {
	Verifier *verifier.Verifier

	// DistrustEmail leaves every email claim of this provider aside. AssumeEmailVerified
	// counts a missing emailVerified claim as true; an explicit false wins.
	DistrustEmail, AssumeEmailVerified bool
}

// A ScopeRule says what an elevated token with this scope may be.
type ScopeRule struct {
	MultiUse bool
	Lifetime time.Duration // 0: DefaultElevatedLifetime
}

// SessionRules bound sessions. Nothing here lets one outlive the external JWT.
type SessionRules struct {
	Lifetime    time.Duration // of one session token, MaxLifetime at most; 0: DefaultSessionLifetime
	MaxLifetime time.Duration // from sign-in to the last refresh's expiry; 0: DefaultSessionMaxLifetime
}

// An Environment is one gateway: whom it trusts, what it grants, and what it
// remembers. It may be used concurrently and never changes.
type Environment struct {
	cfg       Config
	providers *verifier.Providers
	trust     map[string]Provider // by issuer
	flights   singleflight.Group  // one verification and exchange per credential at a time

	offMark, onMark string // in the store: the later one says how the operator's switch stands
}

// New makes an Environment. It reports every mistake in cfg that a request would meet.
func New(cfg Config) (*Environment, error) {
	if _, err := uuid.Parse(cfg.ID); err != nil {
		return nil, fmt.Errorf("environment %q: id %q is not a UUID", cfg.Name, cfg.ID)
	}
	if cfg.Exchanger == nil || cfg.Store == nil || cfg.Memory == nil {
		return nil, fmt.Errorf("environment %q: exchanger, store and memory are all required", cfg.Name)
	}
	e := &Environment{
		cfg:     withDefaults(cfg),
		trust:   make(map[string]Provider),
		offMark: "disabled:" + cfg.ID,
		onMark:  "enabled:" + cfg.ID,
	}
	var verifiers []*verifier.Verifier
	for _, p := range cfg.Providers {
		verifiers = append(verifiers, p.Verifier)
		e.trust[p.Verifier.Issuer()] = p
	}
	if len(verifiers) == 0 {
		return nil, fmt.Errorf("environment %q: no provider: nobody could sign in", cfg.Name)
	}
	var err error
	if e.providers, err = verifier.NewProviders(verifiers...); err != nil {
		return nil, fmt.Errorf("environment %q: %w", cfg.Name, err)
	}
	return e, nil
}

func withDefaults(cfg Config) Config {
	if cfg.Session.Lifetime <= 0 {
		cfg.Session.Lifetime = DefaultSessionLifetime
	}
	if cfg.Session.MaxLifetime <= 0 {
		cfg.Session.MaxLifetime = DefaultSessionMaxLifetime
	}
	if cfg.Observer == nil {
		cfg.Observer = unobserved{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return cfg
}

// Name is the name that logs and metrics use.
func (e *Environment) Name() string { return e.cfg.Name }

// ID is the UUID that clients name the environment by.
func (e *Environment) ID() string { return e.cfg.ID }

// Providers are the verifiers of the login systems that are trusted.
func (e *Environment) Providers() *verifier.Providers { return e.providers }

// Exchanger is what the environment exchanges tokens with.
func (e *Environment) Exchanger() Exchanger { return e.cfg.Exchanger }

// Linking says whether a sign-in may join an identity to the user of a session: see [Environment.SignIn].
func (e *Environment) Linking() bool { return e.cfg.Link }

// Knows says whether an assertion may ask for scope.
func (e *Environment) Knows(scope string) bool {
	if e.cfg.Scopes == nil {
		return true
	}
	_, ok := e.cfg.Scopes[scope]
	return ok
}

func (e *Environment) observe(ctx context.Context, ev Event) {
	ev.Environment = e.cfg.Name
	if ev.Err != nil {
		ev.Code = CodeOf(ev.Err)
	}
	if ev.Session != nil {
		ev.SessionID, ev.UserID = ev.Session.ID, ev.Session.UserID
	}
	e.cfg.Observer.Observe(ctx, ev)
}

type unobserved struct{}

func (unobserved) Observe(context.Context, Event) {}
