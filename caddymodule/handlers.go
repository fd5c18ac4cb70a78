package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
)

// Gate is an HTTP handler that lets a request on if it brings a token of the
// environment: it verifies the external JWT, exchanges it for a session token, and
// hands the upstream that one, and nothing that a client could have forged.
type Gate struct {
	// The environment whose tokens open the gate. Default: the only one there is,
	// or the one named `default`.
	Environment string `json:"environment,omitempty"`

	// Whether a request without a token goes on, as nobody's. A bad token in a
	// header is still refused. Default: false.
	Optional bool `json:"optional,omitempty"`

	// The header in which the upstream gets the session token, or the elevated
	// token where step-up was met. Default: `Authorization`, scheme `Bearer`.
	TokenHeader TokenHeader `json:"token_header,omitzero"`

	// A header of its own for the elevated token; the session token then stays
	// in `token_header`. Default: none.
	ElevatedHeader string `json:"elevated_header,omitempty"`

	// Headers that the upstream gets from claims. They are always removed from
	// the request of the client, whether the claim is there or not.
	ClaimHeaders []ClaimHeader `json:"claim_headers,omitempty"`

	// Whether the external JWT is also passed on, where it was found. Default:
	// false, it is removed from header, cookie and query.
	KeepExternal bool `json:"keep_external,omitempty"`

	// A query parameter that may carry the external JWT, for clients that cannot set
	// headers (WebSocket, EventSource). It is removed from the URI before the upstream
	// sees it; use `format byoa` for the logs, which hold the request as it came.
	AllowQuery string `json:"allow_query,omitempty"`

	// Classes of ambiguous paths to let through: `encoded_slash`, `double_encoding`,
	// `dot_segment`, `empty_segment`, `semicolon`, `backslash`, `trailing_dot`.
	// Allow one only if the upstream reads such paths as this server does.
	AllowPath []string `json:"allow_path,omitempty"`

	// How long a WebSocket or an event stream may last: with `token` until its session expires or
	// is revoked, with `unlimited` as long as it likes. Default: `token`.
	StreamLifetime string `json:"stream_lifetime,omitempty"`

	// Whether refusals are left to the error routes (`handle_errors`) instead of
	// being written as JSON. The code is in `{http.error.byoa.code}`. Default: false.
	PassErrors bool `json:"pass_errors,omitempty"`

	// Whether this handler guards nothing, and stands beside a gate that has a matcher, behind
	// it and without one: from the requests that the matcher leaves out it takes what only gates may set
	// (`token_header` unless that is `Authorization`, `elevated_header`, `claim_headers`) and what asks for
	// another route, and it refuses ambiguous paths but for `allow_path`. A request
	// that another `byoa` handler has let on stays as that one has made it; one that another is
	// still to judge has to pass both, so what that one allows as a path belongs here, too.
	// The Caddyfile adds such a handler to each `byoa <matcher>`. Default: false.
	Beside bool `json:"beside,omitempty"`

	gate
}

// TokenHeader names a header that carries a token.
type TokenHeader struct {
	// The name of the header. Default: `Authorization`.
	Name string `json:"name,omitempty"`

	// What stands before the token. Default: `Bearer` in `Authorization`, nothing in any other header.
	Scheme string `json:"scheme,omitempty"`
}

// ClaimHeader is a header made of a claim.
type ClaimHeader struct {
	// The name of the header.
	Name string `json:"name,omitempty"`

	// The claim of the external JWT, dots reaching inside objects; or `user_id`,
	// `external_id` or `session`. The header is set only if the claim is there and fit for a header.
	Claim string `json:"claim,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Gate) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.byoa",
		New: func() caddy.Module { return new(Gate) },
	}
}

// StepUp is an HTTP handler that lets a request on if its user was given the
// scopes that the route needs: by an elevated token, or by an assertion that comes
// with the request. It stands behind a `byoa` handler and refuses everything without one.
//
// It has two forms, of which a handler has exactly one: a table (`routes`, `default`), which
// says for each route what it needs, or `scopes`, which every request needs that comes here.
type StepUp struct {
	// The table. The most specific pattern that matches decides.
	Routes []StepUpRoute `json:"routes,omitempty"`

	// What becomes of a request that no pattern matches: `deny` refuses it,
	// `session` lets it on with a session alone, unless its path has lines for other methods
	// and its own is not GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS. Default: `deny`.
	Default string `json:"default,omitempty"`

	// The file of an OpenAPI document (3.0, 3.1 or 3.2, JSON or YAML, at most 10 MiB) that adds a
	// route for each of its operations; relative to the working directory. It is read when the config is
	// loaded; since the config is the same, a change of the document takes `caddy reload --force`.
	//
	// An operation needs the scopes that its `security` names, or, without one of its own, those of the
	// document: every name in the list of a scheme, whatever the type of the scheme, and where one
	// requirement has several schemes, the names of all of them. Where no scope is named, also
	// for `security: []`, `{}` or none at all, a session is enough.
	//
	// The path of the first server is the base of the paths, with the defaults of its variables; servers of a path
	// or of an operation stand in for those of the document. They are matched with the path as it was
	// rewritten until here: under `handle_path /api/*` no request has the base `/api`. A path is matched
	// exactly, and `get` is for HEAD too, where there is no `head`. A parameter is one segment; one that a
	// framework means for several, as FastAPI does where it writes `{file_path}` for `{file_path:path}`, cannot be
	// told apart, and needs a line of its own (`/files/{path...}`).
	//
	// It is one document. A second one needs a second handler, which sees the requests for the first too:
	// give both `default: session`, or each a matcher for the paths of its document.
	//
	// What cannot be said in a table is an error: alternatives in one `security`, a parameter that is a part of a
	// segment, a server relative to where the document is, a reference to another file, and an
	// operation that `routes` has too, with the same method and pattern.
	OpenAPI string `json:"openapi,omitempty"`

	// The scopes that every request needs that comes to this handler.
	Scopes []string `json:"scopes,omitempty"`

	// How old the login may be: `auth_time` of the external JWT (RFC 9470). Default: of any age.
	MaxAge caddy.Duration `json:"max_age,omitempty"`

	// The authentication contexts of which the login must have one: `acr` of the
	// external JWT (RFC 9470). Default: any.
	ACR []string `json:"acr,omitempty"`

	// Whether to log and count what would be refused, and refuse nothing. Tokens are
	// checked and used up as usual. Default: false.
	ReportOnly bool `json:"report_only,omitempty"`

	needs
}

// StepUpRoute says what one route needs: scopes, only a session, or that nobody passes.
type StepUpRoute struct {
	// The request method. Default: any.
	Method string `json:"method,omitempty"`

	// A path pattern of Go's net/http.ServeMux, without host: `/wallets/{id}/export`,
	// `/files/{path...}`, `/exact/{$}`. Letter case and one trailing slash do not matter.
	Pattern string `json:"pattern,omitempty"`

	// The scopes that are needed, all of them.
	Scopes []string `json:"scopes,omitempty"`

	// Whether the route is refused to everybody.
	Deny bool `json:"deny,omitempty"`

	// Whether a session is enough.
	Session bool `json:"session,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (StepUp) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.step_up",
		New: func() caddy.Module { return new(StepUp) },
	}
}

// API is an HTTP handler that serves the endpoints at which clients sign in, exchange
// assertions, refresh and revoke. A request for any other path falls through to the next handler.
type API struct {
	// The path under which the endpoints are served. Default: `/api/v0`.
	Prefix string `json:"prefix,omitempty"`

	// The environments that are served; others are unknown here. Default: the only one there
	// is, or the one named `default`.
	Environments []string `json:"environments,omitempty"`

	// Whether anybody may ask what is wrong with a token (`externalJwt/check`). The answer spends
	// nothing and fetches nothing. Default: false, only through the admin API.
	CheckPublic bool `json:"check_public,omitempty"`

	// Who may introspect and revoke tokens (RFC 7662, RFC 7009).
	OAuthClients []OAuthClient `json:"oauth_clients,omitempty"`

	api
}

// OAuthClient is a client of the OAuth endpoints.
type OAuthClient struct {
	// The client's identifier.
	ID string `json:"id,omitempty"`

	// The client's secret. Placeholders such as `{env.SECRET}` are resolved when the config is loaded.
	Secret string `json:"secret,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.byoa_api",
		New: func() caddy.Module { return new(API) },
	}
}
