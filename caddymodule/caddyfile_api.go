package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

var apiLines = lines[API]{
	"environment":  list(func(a *API) *[]string { return &a.Environments }, checkEnvironmentName),
	"check":        {min: 1, max: 1, set: setCheck},
	"oauth_client": {min: 2, max: 2, repeat: true, set: addOAuthClient},
}

func setCheck(a *API, args []string) error {
	if args[0] != "public" {
		return errNotPublic
	}
	a.CheckPublic = true
	return nil
}

func addOAuthClient(a *API, args []string) error {
	a.OAuthClients = append(a.OAuthClients, OAuthClient{ID: args[0], Secret: args[1]})
	return checkAvailable("oauth_client")
}

// UnmarshalCaddyfile reads the handler from Caddyfile tokens. Syntax:
//
//	byoa_api [<prefix>] {
//		environment  <name...>
//		check        public
//		oauth_client <id> <secret>
//	}
//
// The prefix is no matcher: a request for any other path goes on to the next handler.
func (a *API) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the directive
	if d.NextArg() {
		a.Prefix = plainPrefix(d.Val())
		if err := checkPrefix(a.Prefix); err != nil {
			return d.Errf("prefix: %w", err)
		}
	}
	if err := noArgs(d); err != nil {
		return err
	}
	return apiLines.parse(d, a, nil)
}

// plainPrefix leaves a trailing slash out, but for the root.
func plainPrefix(v string) string {
	if len(v) > 1 {
		return strings.TrimSuffix(v, "/")
	}
	return v
}

// Interface guard
var _ caddyfile.Unmarshaler = (*API)(nil)
