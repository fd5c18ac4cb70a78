package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// LocalExchanger makes the gateway itself the issuer of session and elevated
// tokens. Its signing keys are made at the first start, kept in Caddy's storage, so
// that all instances on one storage share them, and rotated.
type LocalExchanger struct {
	// The `iss` of the tokens. Never that of a provider. Default: `urn:uuid:` and the environment's id.
	Issuer string `json:"issuer,omitempty"`

	// The `aud` of the tokens. Default: the environment's id.
	Audience string `json:"audience,omitempty"`

	// The signature algorithm: `ES256`, `EdDSA` or `RS256`. RS256 takes some
	// milliseconds of processor time for each token. Default: `ES256`.
	Algorithm string `json:"algorithm,omitempty"`

	// How long one key signs. The next one is published at least an hour before, and the last
	// one for a day after every token that it signed has expired. Where sessions live many
	// times as long, loading fails: too many keys would be published. Default: 30d.
	Rotate caddy.Duration `json:"rotate,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (LocalExchanger) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "byoa.exchangers.local",
		New: func() caddy.Module { return new(LocalExchanger) },
	}
}

// rotateBounds leave room for the hour in which the next key is only published.
var rotateBounds = durations{2 * time.Hour, 3650 * 24 * time.Hour}

// localAlgorithms are those that the gateway signs with.
var localAlgorithms = []string{"ES256", "EdDSA", "RS256"}

// Provision resolves placeholders and sets the defaults that do not depend on the environment.
func (x *LocalExchanger) Provision(caddy.Context) error {
	l := newLoading("exchange local: ")
	l.text("issuer", &x.Issuer)
	l.text("audience", &x.Audience)
	x.Algorithm = cmp.Or(x.Algorithm, "ES256")
	x.Rotate = cmp.Or(x.Rotate, caddy.Duration(30*24*time.Hour))
	return l.err
}

// Validate refuses settings with which no token could be made.
func (x *LocalExchanger) Validate() error {
	err := cmp.Or(
		in("algorithm", checkLocalAlgorithm(x.Algorithm)),
		in("rotate", rotateBounds.check(x.Rotate)),
	)
	if x.Issuer != "" {
		err = cmp.Or(err, in("issuer", checkText(x.Issuer)))
	}
	if x.Audience != "" {
		err = cmp.Or(err, in("audience", checkText(x.Audience)))
	}
	return in("exchange local", err)
}

// apartFrom wants an issuer, in e, that is none of other's providers: a token of the
// one must never pass for one of the other.
func (x *LocalExchanger) apartFrom(e, other *Environment) error {
	for _, p := range other.allProviders() {
		if p.Issuer == x.issuerIn(e) {
			return errors.New("issuer: must not be that of a provider")
		}
	}
	return nil
}

func (x *LocalExchanger) issuerIn(e *Environment) string {
	return cmp.Or(x.Issuer, "urn:uuid:"+e.ID)
}

func checkLocalAlgorithm(v string) error {
	if !slices.Contains(localAlgorithms, v) {
		return fmt.Errorf("unknown algorithm %q; known: %s", v, strings.Join(localAlgorithms, ", "))
	}
	return nil
}

var localLines = lines[LocalExchanger]{
	"issuer":    text(func(x *LocalExchanger) *string { return &x.Issuer }, loaded(checkText)),
	"audience":  text(func(x *LocalExchanger) *string { return &x.Audience }, loaded(checkText)),
	"algorithm": text(func(x *LocalExchanger) *string { return &x.Algorithm }, checkLocalAlgorithm),
	"rotate":    duration(func(x *LocalExchanger) *caddy.Duration { return &x.Rotate }, rotateBounds),
}

// UnmarshalCaddyfile reads the exchanger from Caddyfile tokens. Syntax:
//
//	exchange local {
//		issuer    <iss>
//		audience  <aud>
//		algorithm ES256 | EdDSA | RS256
//		rotate    <duration>
//	}
func (x *LocalExchanger) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if err := noArgs(d); err != nil {
		return err
	}
	return localLines.parse(d, x, nil)
}

// Interface guards
var (
	_ caddy.Provisioner     = (*LocalExchanger)(nil)
	_ caddy.Validator       = (*LocalExchanger)(nil)
	_ caddyfile.Unmarshaler = (*LocalExchanger)(nil)
)
