package caddymodule

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(App{})
	caddy.RegisterModule(Gate{})
	caddy.RegisterModule(StepUp{})
	caddy.RegisterModule(API{})
	caddy.RegisterModule(LocalExchanger{})
	caddy.RegisterModule(FileStore{})
	caddy.RegisterModule(MemoryStore{})

	httpcaddyfile.RegisterGlobalOption("byoa", parseApp)
	httpcaddyfile.RegisterDirective("byoa_api", parseAPI)
	httpcaddyfile.RegisterHandlerDirective("byoa", parseGate)
	httpcaddyfile.RegisterHandlerDirective("step_up", parseStepUp)

	// The endpoints come before anything that rewrites paths, so that no try_files
	// swallows them. The gate and the guard come after it: what they judge is the path
	// that the upstream gets. Each is put just before basic_auth, so the last one stands last.
	httpcaddyfile.RegisterDirectiveOrder("byoa_api", httpcaddyfile.Before, "method")
	httpcaddyfile.RegisterDirectiveOrder("byoa", httpcaddyfile.Before, "basic_auth")
	httpcaddyfile.RegisterDirectiveOrder("step_up", httpcaddyfile.Before, "basic_auth")
}

func parseGate(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	start, g := *h.Dispenser, new(Gate)
	if err := g.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	if err := checkConfigured(h, g.Environment); err != nil {
		start.Next()
		return nil, start.WrapErr(err)
	}
	return g, nil
}

func parseStepUp(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	s := new(StepUp)
	return s, s.UnmarshalCaddyfile(h.Dispenser)
}

// parseAPI makes a route without a matcher: the argument of byoa_api is not one,
// even though it looks like a path.
func parseAPI(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	start, a := *h.Dispenser, new(API)
	if err := a.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	names := a.Environments
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		if err := checkConfigured(h, name); err != nil {
			start.Next()
			return nil, start.WrapErr(err)
		}
	}
	return h.NewRoute(nil, a), nil
}

// checkConfigured holds the name of an environment against the global option of
// the same Caddyfile. Where that has none, the app may still come from elsewhere:
// then it is for the handler to look when the config is loaded.
func checkConfigured(h httpcaddyfile.Helper, name string) error {
	option, ok := h.Option("byoa").(httpcaddyfile.App)
	if !ok {
		return nil
	}
	var app struct {
		Environments map[string]json.RawMessage `json:"environments"`
	}
	if err := json.Unmarshal(option.Value, &app); err != nil {
		return err
	}
	_, err := chooseEnvironment(slices.Collect(maps.Keys(app.Environments)), name)
	return err
}
