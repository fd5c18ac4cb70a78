package caddymodule_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

// One log without the encoder shows the tokens of everybody, and nobody looks for them
// there. So whoever starts such a gateway is told, and which server and which loggers it is about.
func TestLogWithoutTheEncoderIsWarnedAboutByName(t *testing.T) {
	const (
		guarded   = "format byoa"
		unguarded = "format json"
	)
	for _, c := range []struct {
		name            string
		options, site   string // FORMAT stands for one or the other
		sites           string
		plainDefault    bool // the default log has no encoder at all where the others are unguarded
		server, loggers string
	}{
		{name: "the default log", plainDefault: true, server: "srv0", loggers: "http.handlers.reverse_proxy, http.log.access, http.log.error"},
		{name: "a log beside it", options: "log other {\noutput file FILE\nFORMAT\n}", server: "srv0", loggers: "http.handlers.reverse_proxy, http.log.access, http.log.error"},
		{name: "a log of access alone", options: "log other {\noutput file FILE\ninclude http.log.access\nFORMAT\n}", server: "srv0", loggers: "http.log.access"},
		{
			name: "a log of what reverse_proxy does", options: "log other {\noutput file FILE\ninclude http.handlers\nlevel DEBUG\nFORMAT\n}",
			server: "srv0", loggers: "http.handlers.reverse_proxy",
		},
		{name: "the site's own log", site: "log own {\noutput file FILE\nFORMAT\n}", server: "srv0", loggers: "http.log.access.own"},
		{name: "the log of another site", options: "servers HOST {\nname second\n}", sites: "http://HOST {\nbind 127.0.0.1\nlog {\noutput file FILE\nFORMAT\n}\nbyoa\nrespond ok\n}", server: "second", loggers: "http.log.access.log0"},
	} {
		for format, warned := range map[string]bool{guarded: false, unguarded: true} {
			t.Run(c.name+", "+format, func(t *testing.T) {
				g := prepare(t)
				fill := strings.NewReplacer("FORMAT", format, "FILE", filepath.Join(g.storage(), "other.log"), "HOST", freeport.Address(t)).Replace
				g.options, g.sites = fill(c.options), fill(c.sites)
				if c.plainDefault && warned {
					g.edit = func(config map[string]any) {
						delete(config["logging"].(map[string]any)["logs"].(map[string]any)["default"].(map[string]any), "encoder")
					}
				}
				g.load(plainEnvironment, fill(c.site)+"\n"+plainSite)
				want := "server " + c.server + ": logs show the tokens of its requests: set `format byoa` in every log that receives " + c.loggers
				got := g.logWarnings(t)
				if warned && (len(got) != 1 || got[0] != want) || !warned && len(got) != 0 {
					t.Errorf("got  %q\nwant %q: %v", got, want, warned)
				}
			})
		}
	}
}

// A token in the query is in every line that a log has of its request, so a gate that reads it there does
// not start before such a log: a warning would come too late.
func TestGateThatReadsTheQueryDoesNotStartBeforeAPlainLog(t *testing.T) {
	for format, starts := range map[string]bool{"json": false, "byoa": true} {
		g := prepare(t)
		err := g.tryLoad(plainEnvironment, `log own {
		output file `+filepath.Join(g.storage(), "own.log")+`
		format `+format+`
	}
	byoa {
		allow_query token
	}
	reverse_proxy {{upstream}}`)
		if starts != (err == nil) {
			t.Errorf("format %s: %v", format, err)
		}
		if err != nil && !strings.Contains(err.Error(), "allow_query needs logs that do not show tokens: set `format byoa` in every log that receives http.log.access.own") {
			t.Errorf("format %s: the error says nothing of it: %v", format, err)
		}
	}
}

// logWarnings are those that the gateway gave about logs.
func (g *running) logWarnings(t *testing.T) (warnings []string) {
	t.Helper()
	for _, line := range linesOf(t, g.logFile) {
		if text, _ := line["msg"].(string); line["level"] == "warn" && strings.Contains(text, "logs show the tokens") {
			warnings = append(warnings, text)
		}
	}
	return warnings
}
