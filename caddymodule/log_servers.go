package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/push"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// unguardedServers says, in a sentence for each, which servers have a `byoa` handler and
// loggers whose lines reach a log without `format byoa`. The servers must have been provisioned.
func unguardedServers(ctx caddy.Context, app *caddyhttp.App) []string {
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		srv := app.Servers[name]
		if !leadsTo(srv, isGate) {
			continue
		}
		if loggers := unguardedLoggers(ctx, serverLoggers(srv)); len(loggers) > 0 {
			warnings = append(warnings, fmt.Sprintf("server %s: logs show the tokens of its requests: "+
				"set `format byoa` in every log that receives %s", name, strings.Join(loggers, ", ")))
		}
	}
	return warnings
}

// requireGuardedLogs refuses an option that puts tokens where every log shows them, unless
// the logs of the server that ctx is of have `format byoa`. It is for the Provision of a handler:
// handlers behind that one are not known yet, so it asks for the server's own logs and leaves theirs to [unguardedServers].
func requireGuardedLogs(ctx caddy.Context, option string) error {
	loggers := []string{"http.log.access", "http.log.error"}
	if srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		loggers = requestLoggers(srv)
	}
	if unguarded := unguardedLoggers(ctx, loggers); len(unguarded) > 0 {
		return fmt.Errorf("%s needs logs that do not show tokens: set `format byoa` in every log that receives %s",
			option, strings.Join(unguarded, ", "))
	}
	return nil
}

func isGate(h caddyhttp.MiddlewareHandler) bool {
	_, ok := h.(*Gate)
	return ok
}

// leadsTo is whether some route of the server has a handler of the kind.
func leadsTo(srv *caddyhttp.Server, kind func(caddyhttp.MiddlewareHandler) bool) bool {
	found := false
	eachHandler(srv, func(h caddyhttp.MiddlewareHandler) { found = found || kind(h) })
	return found
}

// serverLoggers names the loggers that write requests of the server, as Caddy names
// them: the error log and, if it is on, the access log, each under every name that hosts and
// `log_name` give it; and those of its handlers that log the request that they work on.
func serverLoggers(srv *caddyhttp.Server) []string {
	loggers := requestLoggers(srv)
	eachHandler(srv, func(h caddyhttp.MiddlewareHandler) {
		loggers = append(loggers, handlerLoggers(h)...)
	})
	slices.Sort(loggers)
	return slices.Compact(loggers)
}

// requestLoggers are the access and error logs of a server. A server without access
// logs writes errors all the same.
func requestLoggers(srv *caddyhttp.Server) []string {
	if srv.Logs == nil {
		return []string{"http.log.error"}
	}
	names := givenNames(srv)
	loggers := make([]string, 0, 2*len(names)+2)
	for _, name := range names {
		loggers = append(loggers, loggerName("http.log.access", name), loggerName("http.log.error", name))
	}
	loggers = append(loggers, loggerName("http.log.error", srv.Logs.DefaultLoggerName))
	if !srv.Logs.SkipUnmappedHosts {
		loggers = append(loggers, loggerName("http.log.access", srv.Logs.DefaultLoggerName))
	}
	return loggers
}

func loggerName(base, name string) string {
	if name == "" {
		return base
	}
	return base + "." + name
}

// givenNames are the names that single hosts and requests give to the server's logs.
func givenNames(srv *caddyhttp.Server) []string {
	var names []string
	for _, hostNames := range srv.Logs.LoggerNames {
		names = append(names, hostNames...)
	}
	eachHandler(srv, func(h caddyhttp.MiddlewareHandler) {
		if vars, ok := h.(*caddyhttp.VarsMiddleware); ok {
			list, _ := (*vars)[caddyhttp.AccessLoggerNameVarKey].([]any)
			for _, name := range list {
				names = append(names, fmt.Sprint(name))
			}
		}
	})
	return names
}

// handlerLoggers are the loggers to which a handler of Caddy's writes the request.
func handlerLoggers(h caddyhttp.MiddlewareHandler) []string {
	switch h := h.(type) {
	case *reverseproxy.Handler:
		if _, ok := h.Transport.(*fastcgi.Transport); ok {
			return []string{"http.handlers.reverse_proxy", "http.reverse_proxy.transport.fastcgi"}
		}
		return []string{"http.handlers.reverse_proxy"}
	case *rewrite.Rewrite:
		return []string{"http.handlers.rewrite"}
	case *push.Handler:
		return []string{"http.handlers.push"}
	default:
		return nil
	}
}

// eachHandler visits the handlers of a server's routes, error routes and named routes,
// and those inside them. Routes that a handler of another vendor keeps to itself stay unseen.
func eachHandler(srv *caddyhttp.Server, visit func(caddyhttp.MiddlewareHandler)) {
	visitRoutes(srv.Routes, visit)
	if srv.Errors != nil {
		visitRoutes(srv.Errors.Routes, visit)
	}
	for _, route := range srv.NamedRoutes {
		visitRoutes(caddyhttp.RouteList{*route}, visit)
	}
}

func visitRoutes(routes caddyhttp.RouteList, visit func(caddyhttp.MiddlewareHandler)) {
	for _, route := range routes {
		for _, h := range route.Handlers {
			visit(h)
			for _, inner := range routesWithin(h) {
				visitRoutes(inner, visit)
			}
		}
	}
}

// routesWithin are the routes that a handler of Caddy's runs.
func routesWithin(h caddyhttp.MiddlewareHandler) []caddyhttp.RouteList {
	switch h := h.(type) {
	case *caddyhttp.Subroute:
		if h.Errors != nil {
			return []caddyhttp.RouteList{h.Routes, h.Errors.Routes}
		}
		return []caddyhttp.RouteList{h.Routes}
	case *reverseproxy.Handler:
		return responseRoutes(h.HandleResponse)
	case *intercept.Intercept:
		return responseRoutes(h.HandleResponse)
	default:
		return nil
	}
}

func responseRoutes(handlers []caddyhttp.ResponseHandler) []caddyhttp.RouteList {
	routes := make([]caddyhttp.RouteList, len(handlers))
	for i, h := range handlers {
		routes[i] = h.Routes
	}
	return routes
}
