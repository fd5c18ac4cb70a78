package caddymodule

import (
	"cmp"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

var gateLines = lines[Gate]{
	"optional":        flag(func(g *Gate) *bool { return &g.Optional }),
	"token_header":    {min: 1, max: 2, set: setTokenHeader},
	"elevated_header": {min: 1, max: 1, set: setElevatedHeader},
	"claim_header":    {min: 2, max: 2, repeat: true, set: addClaimHeader},
	"keep_external":   flag(func(g *Gate) *bool { return &g.KeepExternal }),
	"allow_query":     text(func(g *Gate) *string { return &g.AllowQuery }, checkQueryParameter),
	"allow_path":      list(func(g *Gate) *[]string { return &g.AllowPath }, checkPathClass),
	"stream_lifetime": text(func(g *Gate) *string { return &g.StreamLifetime }, checkStreamLifetime),
	"pass_errors":     flag(func(g *Gate) *bool { return &g.PassErrors }),
}

func setTokenHeader(g *Gate, args []string) error {
	g.TokenHeader.Name = args[0]
	if len(args) == 2 {
		g.TokenHeader.Scheme = args[1]
		if err := checkToken(args[1]); err != nil {
			return in("scheme", err)
		}
	}
	return cmp.Or(checkManagedHeader(args[0]), g.checkHeaders("token_header"))
}

func setElevatedHeader(g *Gate, args []string) error {
	g.ElevatedHeader = args[0]
	return cmp.Or(checkManagedHeader(args[0]), g.checkHeaders("elevated_header"))
}

func addClaimHeader(g *Gate, args []string) error {
	g.ClaimHeaders = append(g.ClaimHeaders, ClaimHeader{Name: args[0], Claim: args[1]})
	return g.checkHeaders("claim_header")
}

// UnmarshalCaddyfile reads the handler from Caddyfile tokens. Syntax:
//
//	byoa [<matcher>] [<environment>] {
//		optional
//		token_header    <name> [<scheme>]
//		elevated_header <name>
//		claim_header    <name> <claim>
//		keep_external
//		allow_query     <param>
//		allow_path      <class...>
//		stream_lifetime token | unlimited
//		pass_errors
//	}
func (g *Gate) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the directive
	start := *d
	if d.NextArg() {
		g.Environment = d.Val()
		if err := checkEnvironmentName(g.Environment); err != nil {
			return d.WrapErr(err)
		}
	}
	if err := noArgs(d); err != nil {
		return err
	}
	if err := gateLines.parse(d, g, nil); err != nil {
		return err
	}
	if err := g.validate(); err != nil {
		return start.WrapErr(err)
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Gate)(nil)
