package caddymodule

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
)

// Environment is one set of users: the login systems that vouch for them, and
// what a token of theirs buys. Nothing of one environment is good in another.
//
// The issuer-level fields describe its first login system and stand beside the
// others; further ones go to `providers`.
//
// Placeholders such as `{env.ISSUER}` and `{file./run/secrets/issuer}` are
// resolved when the config is loaded, in `id`, in every field that holds a URL,
// a path or an audience, and in `cors`. One that is unknown or empty is an error.
type Environment struct {
	// A UUID that names this environment in tokens and in the paths of the
	// endpoints. Default: a UUID (version 5) derived from the environment's name.
	ID string `json:"id,omitempty"`

	// Whether tokens are accepted at all. If false, sign-in, verification and every
	// protected route answer 403 `external_auth_disabled`. Default: true.
	Enabled *bool `json:"enabled,omitempty"`

	Provider

	// Further login systems. No two of one environment may have the same issuer.
	Providers []*Provider `json:"providers,omitempty"`

	// The cookie that carries the external JWT. Default: none, cookies are not looked at.
	CookieName string `json:"cookie_name,omitempty"`

	// The header that carries the external JWT or a session token. Of
	// `Authorization` only the scheme Bearer is read; of any other header the
	// whole value. Default: `Authorization`.
	Header string `json:"header,omitempty"`

	// The longest token that is looked at, in bytes. Caddy itself refuses requests with more
	// than about 20 KiB of headers unless `max_header_bytes` of the server is raised. Default: 16 KiB.
	MaxTokenSize int64 `json:"max_token_size,omitempty"`

	// How much memory remembered tokens may take, in bytes. Default: 64 MiB.
	CacheSize int64 `json:"cache_size,omitempty"`

	// What makes a token an assertion.
	Assertion AssertionRules `json:"assertion,omitzero"`

	// How long sessions live, and whether a cookie carries them.
	Session SessionRules `json:"session,omitzero"`

	// The scopes that may be asked for, by name. Default: any well-formed scope,
	// for single use within 5 minutes.
	Scopes map[string]ScopeRule `json:"scopes,omitempty"`

	// Whether a sign-in may join an identity to a user who is signed in already, so that
	// either login system signs the same user in from then on. It does where the sign-in
	// comes with a session token in `Authorization` and with the JWT of another provider than
	// the one that the session came from; a session in a cookie is never linked to, since a
	// page can have a browser send that. An identity that is another user's, because it was
	// linked to them or has signed in before, is refused, and nothing changes. Nothing here
	// takes a link back. Default: false, every sign-in starts a session of the identity's own user.
	Link bool `json:"link,omitempty"`

	// The origins that may call the endpoints and the protected routes from a browser, each
	// exactly as a browser writes it: `https://app.example.com`. There is no wildcard.
	CORS []string `json:"cors,omitempty"`

	// Who issues session and elevated tokens. Default: `local`, the gateway itself.
	ExchangeRaw json.RawMessage `json:"exchange,omitempty" caddy:"namespace=byoa.exchangers inline_key=exchanger"`

	// Where used-up assertions and tokens, and revoked sessions, are kept. Default: `file`.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=byoa.stores inline_key=store"`
}

// AssertionRules say what a token must look like to be taken as an assertion: the
// proof, signed by the login system's backend, that a user may do one thing now.
// Set type or audience, so that no ordinary access token can pass for one.
type AssertionRules struct {
	// The `typ` header that assertions must have, such as `step-up+jwt`. A token of this type never signs in.
	Type string `json:"type,omitempty"`

	// The `aud` that assertions must hold.
	Audience string `json:"audience,omitempty"`

	// How far ahead the `exp` of an assertion may lie. Default: 1h.
	MaxLifetime caddy.Duration `json:"max_lifetime,omitempty"`
}

// SessionRules say how long a session lives.
type SessionRules struct {
	// How long a session token is good for; never past the `exp` of the external JWT. Default: 1h.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`

	// How far refreshing can carry a session; never past the `exp` of the external JWT. Default: 24h.
	MaxLifetime caddy.Duration `json:"max_lifetime,omitempty"`

	// A cookie to set at sign-in and to clear at revocation, with HttpOnly, Secure and
	// SameSite=Lax. A name that begins with `__Host-` keeps sibling domains out. Default: none.
	Cookie string `json:"cookie,omitempty"`
}

// ScopeRule says how far an elevated token of one scope goes.
type ScopeRule struct {
	// Whether the token may be used more than once while it lives. Default: false.
	MultiUse bool `json:"multi_use,omitempty"`

	// How long the token is good for. Default: 5m.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`
}
