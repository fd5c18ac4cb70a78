package caddymodule

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

func init() {
	caddy.RegisterModule(demanding{})
}

func TestServerLoggers(t *testing.T) {
	for _, c := range []struct {
		name, site string
		want       []string
	}{
		{"no access log", `http://a.example:PORT {
			respond ok
		}`, []string{"http.log.error"}},
		{"access log", `http://:PORT {
			log
			respond ok
		}`, []string{"http.log.access", "http.log.error"}},
		{"access log of one host", `http://a.example:PORT {
			log
			respond ok
		}
		http://b.example:PORT {
			respond ok
		}`, []string{"http.log.access", "http.log.error"}},
		{"log of one host", `http://a.example:PORT {
			log {
				output file LOG
			}
			respond ok
		}
		http://b.example:PORT {
			respond ok
		}`, []string{"http.log.access", "http.log.access.log0", "http.log.error", "http.log.error.log0"}}, // no site at all: a request for c.example
		{"names for single requests", `http://:PORT {
			log
			handle /a {
				log_name admin "" audit
				respond ok
			}
		}`, []string{"http.log.access", "http.log.access.admin", "http.log.access.audit", "http.log.error", "http.log.error.admin", "http.log.error.audit"}},
		{"proxy", `http://:PORT {
			handle /a {
				reverse_proxy 127.0.0.1:1
			}
		}`, []string{"http.handlers.reverse_proxy", "http.log.error"}},
		{"PHP", `http://:PORT {
			php_fastcgi 127.0.0.1:1
		}`, []string{"http.handlers.reverse_proxy", "http.handlers.rewrite", "http.log.error", "http.reverse_proxy.transport.fastcgi"}},
		{"push", `http://:PORT {
			push /a
		}`, []string{"http.handlers.push", "http.log.error"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, port, _ := strings.Cut(freeport.Address(t), ":")
			asker, _ := askedIn(t, "{\nlog {\n output file LOG\n }\n}\n"+strings.ReplaceAll(c.site, "PORT", port))
			if got := serverLoggers(asker.server(t)); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestServerLoggersOfMappedHostsOnly(t *testing.T) {
	logs := &caddyhttp.ServerLogConfig{LoggerNames: map[string]caddyhttp.StringArray{"a.example": {"a", "both"}}, SkipUnmappedHosts: true}
	got := serverLoggers(&caddyhttp.Server{Logs: logs})
	want := []string{"http.log.access.a", "http.log.access.both", "http.log.error", "http.log.error.a", "http.log.error.both"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	logs.SkipUnmappedHosts = false
	if got := serverLoggers(&caddyhttp.Server{Logs: logs}); !slices.Contains(got, "http.log.access") {
		t.Errorf("the log of other hosts is not in %q", got)
	}
}

// A handler must be found wherever a Caddyfile can put it: a server that hides it in a route
// that was not looked at would log tokens without a word.
func TestLeadsTo(t *testing.T) {
	needle := func(h caddyhttp.MiddlewareHandler) bool {
		response, ok := h.(*caddyhttp.StaticResponse)
		return ok && response.Body == "needle"
	}
	for name, site := range map[string]string{
		"site":            `respond needle`,
		"handle":          "handle /a {\n handle_path /b {\n respond needle\n }\n }",
		"route":           "route {\n respond needle\n }",
		"error routes":    "handle_errors {\n respond needle\n }",
		"error subroute":  "handle_errors {\n route {\n respond needle\n }\n }",
		"proxy response":  "reverse_proxy 127.0.0.1:1 {\n handle_response {\n respond needle\n }\n }",
		"forward_auth":    "forward_auth 127.0.0.1:1 {\n uri /\n handle_response {\n respond needle\n }\n }",
		"intercept":       "intercept {\n handle_response {\n respond needle\n }\n }",
		"invoke":          "invoke named",
		"nowhere":         "respond hay",
		"nowhere, nested": "route {\n handle_path /a {\n respond hay\n }\n }",
	} {
		t.Run(name, func(t *testing.T) {
			named := "&(named) {\n route {\n respond needle\n }\n}\n"
			if name != "invoke" {
				named = ""
			}
			asker, _ := askedIn(t, fmt.Sprintf("{\nlog {\n output file LOG\n }\n}\n%shttp://%s {\n%s\n}", named, freeport.Address(t), site))
			if got, want := leadsTo(asker.server(t), needle), !strings.HasPrefix(name, "nowhere"); got != want {
				t.Errorf("found: got %v, want %v", got, want)
			}
		})
	}
}

// demanding is a handler that demands guarded logs.
type demanding struct{}

func (demanding) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.log_demanding", New: func() caddy.Module { return new(demanding) }}
}

func (demanding) Provision(ctx caddy.Context) error { return requireGuardedLogs(ctx, "allow_query") }

func (demanding) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error { return nil }

// The option must be refused where the config is only validated, too, and a log that
// the server does not write to must not matter.
func TestRequireGuardedLogs(t *testing.T) {
	const config = `{"admin":{"disabled":true},"logging":{"logs":{"default":%s,"other":{"include":["tls"]}}},
		"apps":{"http":{"servers":{"a":{"logs":{"default_logger_name":"money"},"routes":[{"handle":[{"handler":"log_demanding"}]}]}}}}}`
	if err := caddy.Validate(parsedConfig(t, fmt.Sprintf(config, `{"encoder":{"format":"byoa"}}`))); err != nil {
		t.Errorf("refused, though the log is guarded: %v", err)
	}
	for _, log := range []string{`{"encoder":{"format":"json"}}`, `{}`} {
		err := caddy.Validate(parsedConfig(t, fmt.Sprintf(config, log)))
		if err == nil {
			t.Errorf("accepted with the log %s", log)
			continue
		}
		for _, part := range []string{"allow_query", "http.log.access.money", "http.log.error.money", "format byoa"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q is not in the error %q", part, err)
			}
		}
	}
}

func TestUnguardedServers(t *testing.T) {
	for _, format := range []string{"json", "byoa"} {
		t.Run(format, func(t *testing.T) {
			asker, _ := askedIn(t, fmt.Sprintf("{\nlog {\n output file LOG\n format %s\n }\n}\nhttp://%s {\n log\n respond ok\n}", format, freeport.Address(t)))
			app, err := asker.ctx.App("http")
			if err != nil {
				t.Fatal(err)
			}
			servers := app.(*caddyhttp.App)
			if got := unguardedServers(asker.ctx, servers); len(got) != 0 {
				t.Errorf("a server without byoa is warned about: %q", got)
			}
			gate := []caddyhttp.MiddlewareHandler{new(Gate)}
			servers = &caddyhttp.App{Servers: map[string]*caddyhttp.Server{
				"public": {Routes: caddyhttp.RouteList{{}}, Logs: new(caddyhttp.ServerLogConfig)},
				"money":  {Routes: caddyhttp.RouteList{{Handlers: gate}}, Logs: &caddyhttp.ServerLogConfig{DefaultLoggerName: "wallets"}},
				"quiet":  {Routes: caddyhttp.RouteList{{Handlers: gate}}},
			}}
			got := unguardedServers(asker.ctx, servers)
			if format == "byoa" {
				if len(got) != 0 {
					t.Errorf("guarded servers are warned about: %q", got)
				}
				return
			}
			if len(got) != 2 {
				t.Fatalf("got %d warnings, want one for each server with byoa: %q", len(got), got)
			}
			for i, want := range [][]string{{"server money", "http.log.access.wallets", "http.log.error.wallets", "format byoa"}, {"server quiet", "http.log.error", "format byoa"}} {
				for _, part := range want {
					if !strings.Contains(got[i], part) {
						t.Errorf("%q is not in the warning %q", part, got[i])
					}
				}
			}
		})
	}
}
