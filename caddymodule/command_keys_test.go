package caddymodule_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts ask a Caddy that runs in this process.
func TestKeysCommand(t *testing.T) {
	for name, environments := range map[string]func(g *running) string{
		"rotate": (*running).twoEnvironments,
		"choose": func(g *running) string {
			return strings.Replace(g.twoEnvironments(), "environment {", "environment first {", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := prepareAdmin(t)
			g.load(environments(g), "respond 404")
			testscript.Run(t, testscript.Params{
				Files: []string{filepath.Join("testdata", "keys", name+".txt")},
				Setup: func(env *testscript.Env) error {
					env.Setenv("ADMIN", g.admin)
					env.Setenv("STRANGER", g.address)
					return nil
				},
				RequireExplicitExec: true,
			})
		})
	}
}
