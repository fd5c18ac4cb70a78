package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

func init() {
	caddy.RegisterModule(logAsker{})
	caddy.RegisterModule(plainCore{})
}

// logAsker is an app that asks about the logs of the config it is part of.
type logAsker struct{ ctx caddy.Context }

var askedFrom *logAsker

func (logAsker) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "log_asker", New: func() caddy.Module { return new(logAsker) }}
}

func (a *logAsker) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	return nil
}

func (a *logAsker) Start() error {
	askedFrom = a
	return nil
}

func (a *logAsker) Stop() error { return nil }

// plainCore is a core that another vendor puts beside the log: it gets every field as it is.
type plainCore struct {
	zapcore.Core `json:"-"`
}

func (plainCore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.cores.plain", New: func() caddy.Module {
		return &plainCore{zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(io.Discard), zapcore.DebugLevel)}
	}}
}

func (*plainCore) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

// askedIn is the app asker of a running Caddyfile. Each LOG in it stands for a file of its own.
func askedIn(t *testing.T, config string) (asker *logAsker, files func() string) {
	t.Helper()
	dir := t.TempDir()
	for i := 0; strings.Contains(config, "LOG"); i++ {
		config = strings.Replace(config, "LOG", filepath.Join(dir, fmt.Sprintf("%d.log", i)), 1)
	}
	config = "{\n admin off\n persist_config off\n auto_https off\n" + strings.TrimPrefix(strings.TrimSpace(config), "{")
	var parsed struct {
		Admin   json.RawMessage            `json:"admin,omitempty"`
		Logging json.RawMessage            `json:"logging,omitempty"`
		Apps    map[string]json.RawMessage `json:"apps"`
	}
	if err := json.Unmarshal(adaptCaddyfile(t, config), &parsed); err != nil {
		t.Fatal(err)
	}
	if parsed.Apps == nil {
		parsed.Apps = map[string]json.RawMessage{}
	}
	parsed.Apps["log_asker"] = json.RawMessage(`{}`)
	adapted, err := json.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	runConfig(t, adapted)
	return askedFrom, func() string {
		var all strings.Builder
		names, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
		return all.String()
	}
}

// server is the only server of a running config.
func (a *logAsker) server(t *testing.T) *caddyhttp.Server {
	t.Helper()
	app, err := a.ctx.App("http")
	if err != nil {
		t.Fatal(err)
	}
	for _, srv := range app.(*caddyhttp.App).Servers {
		return srv
	}
	t.Fatal("the config has no server")
	return nil
}

// A log without the encoder must be found out whatever stands between it and the logger,
// and a log that never sees a request must not be complained about.
func TestUnguardedLoggers(t *testing.T) {
	const (
		access, access0 = "http.log.access", "http.log.access.log0"
		failed, failed0 = "http.log.error", "http.log.error.log0"
		proxy, rewrite  = "http.handlers.reverse_proxy", "http.handlers.rewrite"
	)
	all := []string{access, access0, failed, failed0, proxy, rewrite}
	atInfo := all[:5] // rewrite logs requests at DEBUG only
	for _, c := range []struct {
		name, config string
		want         []string
	}{
		{"no log at all", `{
		}`, atInfo},
		{"default", `{
			log {
				output file LOG
				format byoa
			}
		}`, nil},
		{"default json", `{
			log {
				output file LOG
				format json
			}
		}`, atInfo},
		{"default console at DEBUG", `{
			log {
				level DEBUG
				output file LOG
				format console
			}
		}`, all},
		{"around console", `{
			log {
				output file LOG
				format byoa {
					wrap console
				}
			}
		}`, nil},
		{"inside filter", `{
			log {
				output file LOG
				format filter {
					wrap byoa
					request>headers>A delete
				}
			}
		}`, nil},
		{"around filter", `{
			log {
				output file LOG
				format byoa {
					wrap filter {
						request>headers>A delete
					}
				}
			}
		}`, nil},
		{"filter without", `{
			log {
				output file LOG
				format filter {
					wrap json
					request>headers>A delete
				}
			}
		}`, atInfo},
		{"inside append inside filter", `{
			log {
				output file LOG
				format filter {
					wrap append {
						wrap byoa
						a b
					}
					request>headers>A delete
				}
			}
		}`, nil},
		{"append without", `{
			log {
				output file LOG
				format append {
					wrap json
					a b
				}
			}
		}`, atInfo},
		{"sampling", `{
			log {
				output file LOG
				format byoa
				sampling {
					first 1
					thereafter 1000
				}
			}
		}`, nil},
		{"sampling without", `{
			log {
				output file LOG
				format json
				sampling {
					first 1
					thereafter 1000
				}
			}
		}`, atInfo},
		{"second log of access", `{
			log {
				output file LOG
				format byoa
			}
			log second {
				output file LOG
				format json
				include http.log.access
			}
		}`, []string{access, access0}},
		{"second log of one access log", `{
			log {
				output file LOG
				format byoa
			}
			log second {
				output file LOG
				format json
				include http.log.access.log0
			}
		}`, []string{access0}},
		{"default for the rest only", `{
			log {
				output file LOG
				format json
				exclude http.log http.handlers
			}
			log requests {
				output file LOG
				format byoa
				include http.log http.handlers
			}
		}`, nil},
		{"exception within an exclusion", `{
			log {
				output file LOG
				format json
				include http.log.error
				exclude http.log.error.log0
			}
		}`, []string{failed}},
		{"log of others", `{
			log {
				output file LOG
				format json
				include tls admin
			}
		}`, nil},
		{"log of the site, guarded", `{
			log {
				output file LOG
				format json
			}
		}
		http://ADDRESS {
			log {
				output file LOG
				format byoa
			}
		}`, []string{access, failed, failed0, proxy}},
		{"log of the site, not guarded", `{
			log {
				output file LOG
				format byoa
			}
		}
		http://ADDRESS {
			log {
				output file LOG
				format json
			}
		}`, []string{access0}},
		{"discarded", `{
			log {
				output discard
			}
		}`, nil},
		{"a level that requests are not logged at", `{
			log {
				level PANIC
				output file LOG
				format json
			}
		}`, nil},
		{"core of another vendor", `{
			log {
				output file LOG
				format byoa
				core plain
			}
		}`, all},
		{"core of another vendor behind include", `{
			log {
				output file LOG
				format byoa
				core plain
				include http.log.access http.handlers
			}
		}`, []string{access, access0, proxy, rewrite}},
	} {
		t.Run(c.name, func(t *testing.T) {
			asker, files := askedIn(t, strings.ReplaceAll(c.config, "ADDRESS", freeport.Address(t)))
			if got := unguardedLoggers(asker.ctx, all); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if log := files(); strings.Contains(log, "format_byoa") || strings.Contains(log, "asking") {
				t.Errorf("the question is in a log:\n%s", log)
			}
		})
	}
}

// What the guard says must be what happens: the logger it names is the one that a token is read in.
func TestUnguardedLoggersAgainstLines(t *testing.T) {
	for _, format := range []string{"json", "byoa"} {
		t.Run(format, func(t *testing.T) {
			address := freeport.Address(t)
			asker, files := askedIn(t, fmt.Sprintf(`{
				log {
					output file LOG
					format %s
				}
			}
			http://%s {
				log {
					output file LOG
					format byoa
				}
				error /failed 500
			}`, format, address))
			guarded := len(unguardedLoggers(asker.ctx, serverLoggers(asker.server(t)))) == 0
			req := httptest.NewRequest(http.MethodGet, "http://"+address+"/failed", nil)
			req.Header.Set("X-Step-Up-Assertion", "eyJtoken")
			asker.server(t).ServeHTTP(httptest.NewRecorder(), req)
			log := files()
			if !strings.Contains(log, "http.log.error") || !strings.Contains(log, "http.log.access") {
				t.Fatalf("not both lines were written:\n%s", log)
			}
			if shown := strings.Contains(log, "eyJtoken"); shown == guarded {
				t.Errorf("guarded: %v, but token shown: %v\n%s", guarded, shown, log)
			}
		})
	}
}

// A core of which nothing is known, or a context without logs, is not trusted.
func TestUnguardedLoggersInDoubt(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	if got := unguardedLoggers(ctx, []string{"http.log.error"}); len(got) != 1 {
		t.Error("a context without a config counts as guarded")
	}
	ours := zapcore.NewCore(provisionedEncoder(t), zapcore.AddSync(io.Discard), zapcore.DebugLevel)
	if !guards(ours, "http.log.error") {
		t.Error("a core with the encoder counts as unguarded")
	}
	for name, core := range map[string]zapcore.Core{
		"of another type":        &plainCore{ours},
		"of another type in tee": zapcore.NewTee(ours, &plainCore{ours}),
		"lazy":                   zapcore.NewLazyWith(&plainCore{ours}, []zap.Field{zap.Int("a", 1)}),
	} {
		if guards(core, "http.log.error") {
			t.Errorf("a core %s counts as guarded", name)
		}
	}
}
