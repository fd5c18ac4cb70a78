package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Two writers of one ledger would each let the same proof through.
func TestSecondProcessOnOneStoreIsRefused(t *testing.T) {
	for name, store := range map[string]string{"default place": "", "named place": "store file {{dir}}/ledger.db"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := config{dir: dir, Store: strings.ReplaceAll(store, "{{dir}}", dir)}
			first := startGateway(t, c)
			external := first.issuer.token(t, nil)
			assertion := first.issuer.assertion(t, "wallet:export", nil)
			first.send(t, post(export).bearer(external).assertion(assertion)).mustPass(t)

			second := prepareGateway(t, first.issuer, c)
			_, err := second.tryStart(t)
			if err == nil {
				t.Fatal("the second process serves")
			}
			if !strings.Contains(err.Error(), "store") {
				t.Errorf("the second process ended with %v; want it to name the store", err)
			}
			first.send(t, post(export).bearer(external).assertion(assertion)).mustRefuse(t, 401, "replayed")
			first.send(t, get(home).bearer(external)).mustPass(t)

			first.stop(t)
			second.start(t)
			second.send(t, post(export).bearer(external).assertion(assertion)).mustRefuse(t, 401, "replayed")
			second.send(t, get(home).bearer(external)).mustPass(t)
		})
	}
}

// A gateway that cannot remember must not start: it would forget what was used.
func TestStoreThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "a-file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	i := startIssuer(t, newSecrets())
	g := prepareGateway(t, i, config{Store: "store file " + filepath.Join(blocked, "ledger.db")})
	_, err := g.tryStart(t)
	if err == nil {
		t.Fatal("it serves without a store")
	}
	if !strings.Contains(err.Error(), "a-file") {
		t.Errorf("it ended with %v; want it to name the path", err)
	}
	working := startGatewayFor(t, i, config{Store: "store file " + filepath.Join(dir, "ledger.db")})
	working.send(t, get(home).bearer(i.token(t, nil))).mustPass(t)
}

// Operators validate a config on the machine where the old one is running.
func TestValidateDoesNotTouchARunningGateway(t *testing.T) {
	g := startGateway(t, config{})
	token := g.issuer.token(t, nil)
	g.send(t, get(home).bearer(token)).mustPass(t) // the keys are here
	fetched := g.issuer.fetches(t)
	out, err := command(g.config.dir, "validate", "--adapter", "caddyfile", "--config", filepath.Join(g.process.logs, "Caddyfile")).CombinedOutput()
	if err != nil {
		t.Errorf("validating beside a running gateway: %v\n%s", err, out)
	}
	if got := g.issuer.fetches(t); got != fetched {
		t.Errorf("validating fetched the JWKS %d times", got-fetched)
	}
	g.send(t, get(home).bearer(token)).mustPass(t)
}
