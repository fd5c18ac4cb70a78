package caddymodule

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// parseApp reads the global option:
//
//	byoa {
//		environment [<name>] {
//			...
//		}
//	}
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next() // the name of the option
	if existing != nil {
		return nil, d.Err("the global option byoa stands twice; put all environments into one")
	}
	app := &App{Environments: make(map[string]*Environment)}
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "byoa", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile reads the environments from the block that d is before.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	if err := appLines.parse(d, a, nil); err != nil {
		return err
	}
	if len(a.Environments) == 0 {
		return d.Err("no environment: add an environment block")
	}
	if err := checkTogether(a.Environments); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

var appLines = lines[App]{
	"environment": {repeat: true, open: openEnvironment},
}

// openEnvironment reads one environment.
func openEnvironment(a *App, d *caddyfile.Dispenser) error {
	start, name := *d, defaultEnvironment // errors about the whole block name its first line
	if d.NextArg() {
		name = d.Val()
	}
	if err := noArgs(d); err != nil {
		return err
	}
	if err := checkEnvironmentName(name); err != nil {
		return d.WrapErr(err)
	}
	if a.Environments[name] != nil {
		return d.Errf("environment %s: already defined", name)
	}
	e := new(Environment)
	if err := environmentLines.parse(d, e, nil); err != nil {
		return err
	}
	if err := e.checkWritten(); err != nil {
		return start.Errf("environment %s: %w", name, err)
	}
	a.Environments[name] = e
	return nil
}

// openProvider reads a further provider of an environment.
func openProvider(e *Environment, d *caddyfile.Dispenser) error {
	start := *d
	p := new(Provider)
	if !d.AllArgs(&p.Issuer) {
		return d.ArgErr()
	}
	if err := loaded(checkText)(p.Issuer); err != nil {
		return d.Errf("provider: %w", err)
	}
	if err := providerLines(func(p *Provider) *Provider { return p }).parse(d, p, nil); err != nil {
		return err
	}
	e.Providers = append(e.Providers, p)
	if err := p.checkWritten(); err != nil {
		return start.Errf("provider %s: %w", p.Issuer, err)
	}
	if err := e.checkIssuers(); err != nil {
		return start.WrapErr(err)
	}
	return nil
}

// openScope reads what a scope allows.
func openScope(e *Environment, d *caddyfile.Dispenser) error {
	var name string
	if !d.AllArgs(&name) {
		return d.ArgErr()
	}
	if err := checkScope(name); err != nil {
		return d.WrapErr(err)
	}
	if _, ok := e.Scopes[name]; ok {
		return d.Errf("scope %s: already defined", name)
	}
	var rule ScopeRule
	if err := scopeLines.parse(d, &rule, nil); err != nil {
		return err
	}
	if e.Scopes == nil {
		e.Scopes = make(map[string]ScopeRule)
	}
	e.Scopes[name] = rule
	return nil
}

// guest is a line that names a module of the given namespace and lets it read what follows.
func guest(field func(*Environment) *json.RawMessage, namespace, inlineKey string) line[Environment] {
	return line[Environment]{open: func(e *Environment, d *caddyfile.Dispenser) error {
		feature := d.Val()
		if !d.NextArg() {
			return d.ArgErr()
		}
		name := d.Val()
		if err := checkAvailable(feature + " " + name); err != nil {
			return d.Errf("%s %s: %w", feature, name, err)
		}
		if known := guestNames(namespace); !slices.Contains(known, name) {
			return d.Errf("%s: unknown module %q; known: %s", feature, name, strings.Join(known, ", "))
		}
		m, err := caddyfile.UnmarshalModule(d, namespace+"."+name)
		if err != nil {
			return err
		}
		*field(e) = caddyconfig.JSONModuleObject(m, inlineKey, name, nil)
		return nil
	}}
}

func guestNames(namespace string) []string {
	var names []string
	for _, m := range caddy.GetModules(namespace) {
		names = append(names, m.ID.Name())
	}
	return names
}

// checkWritten judges what the lines of an environment only say together. Of values
// with placeholders it knows nothing yet.
func (e *Environment) checkWritten() error {
	if err := e.Provider.checkWritten(); err != nil {
		return err
	}
	return cmp.Or(e.checkIssuers(), e.checkCookies())
}

func (p *Provider) checkWritten() error {
	if err := p.checkComplete(); err != nil || placeholder.MatchString(p.keyURL()) {
		return err
	}
	return p.checkKeys()
}
