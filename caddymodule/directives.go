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
	httpcaddyfile.RegisterDirective("byoa", matched(parseGate))
	httpcaddyfile.RegisterDirective("step_up", matched(parseStepUp))

	// The endpoints come before anything that rewrites paths, so that no try_files
	// swallows them. The gate and the guard come after it: what they judge is the path
	// that the upstream gets. Each is put just before basic_auth, so the last one stands last.
	httpcaddyfile.RegisterDirectiveOrder("byoa_api", httpcaddyfile.Before, "method")
	httpcaddyfile.RegisterDirectiveOrder("byoa", httpcaddyfile.Before, "basic_auth")
	httpcaddyfile.RegisterDirectiveOrder("step_up", httpcaddyfile.Before, "basic_auth")
}

// matched is a directive whose first argument may be a matcher, as those of
// [httpcaddyfile.RegisterHandlerDirective] are, and that is not lost in a named route.
func matched(parse httpcaddyfile.UnmarshalHandlerFunc) httpcaddyfile.UnmarshalFunc {
	return func(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
		if !h.Next() {
			return nil, h.ArgErr()
		}
		matchers, err := h.ExtractMatcherSet()
		if err != nil {
			return nil, err
		}
		handler, err := parse(h)
		if err != nil {
			return nil, err
		}
		routes := keptRoutes(h, matchers, handler)
		if g, ok := handler.(*Gate); ok && matchers != nil {
			routes = append(routes, h.NewRoute(nil, g.beside())...) // sorted behind those with a matcher
		}
		return routes, nil
	}
}

// keptRoutes is the route of a handler, and what keeps it in a named route. Of those, Caddy
// makes one route of all the directives without a matcher, and where that is all there is,
// drops each handler but the first: a guard behind another directive would be gone. An empty route
// for every path makes it two, and leaves the others in their order, which a matcher of their own
// would not. Only the blocks of a named route, as of handle, remain to be dropped whole.
func keptRoutes(h httpcaddyfile.Helper, matchers caddy.ModuleMap, handler caddyhttp.MiddlewareHandler) []httpcaddyfile.ConfigValue {
	routes := h.NewRoute(matchers, handler)
	if matchers != nil || !h.IsNamedRoute() {
		return routes
	}
	every := caddyhttp.RawMatcherSets{{"path": h.JSON(caddyhttp.MatchPath{"*"})}}
	return append(routes, httpcaddyfile.ConfigValue{Class: "route", Value: caddyhttp.Route{MatcherSetsRaw: every}})
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
	return keptRoutes(h, nil, a), nil
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
