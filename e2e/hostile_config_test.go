package e2e_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A mistake is one that must not become an open door. Bad and good differ in it alone.
type mistake struct {
	name      string
	bad, good config
	spoil     func(t *testing.T, dir string) // what is on the disk; repair puts it right
	repair    func(t *testing.T, dir string)
	validates bool // only the start can tell: validating opens nothing
	says      string
}

// Other gateways started with the door open because a file could not be read, a variable was
// empty or a policy unknown. Here nothing listens then, neither the site nor the admin API, and whoever
// started it is told by the exit code and in words.
func TestBrokenConfigNeverListens(t *testing.T) {
	i := startIssuer(t, newSecrets())
	for _, c := range mistakes(t, i) {
		t.Run(c.name, func(t *testing.T) {
			g := prepareGateway(t, i, c.bad)
			if c.spoil != nil {
				c.spoil(t, g.config.dir)
			}
			p, err := g.tryStart(t)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("the start: got %v, want it refused with %q", err, c.says)
			}
			if code := p.cmd.ProcessState.ExitCode(); code <= 0 { // it has ended, or it would not have been given up
				t.Errorf("it ended with %d, want an error", code)
			}
			g.mustBeClosed(t)
			g.mustValidate(t, c.validates, c.says)

			g.config = prepareGateway(t, i, c.good).config.in(g.config.dir)
			g.config.Upstream = g.upstream.url
			if c.repair != nil {
				c.repair(t, g.config.dir)
			}
			g.mustValidate(t, true, "")
			g.start(t)
			g.send(t, get(home)).mustRefuse(t, 401, "token_missing")
			g.send(t, get(home).bearer(i.token(t, nil))).mustPass(t)
		})
	}
}

// in is the config with its data in a directory.
func (c config) in(dir string) config {
	c.dir = dir
	return c
}

// mustBeClosed fails the test if anybody listens where the gateway would.
func (g *gateway) mustBeClosed(t *testing.T) {
	t.Helper()
	for _, address := range []string{g.address, g.admin} {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Errorf("something listens at %s", address)
		}
	}
}

// mustValidate runs `caddy validate` on the config as it is now.
func (g *gateway) mustValidate(t *testing.T, valid bool, says string) {
	t.Helper()
	logs := t.TempDir()
	out, err := command(g.config.dir, "validate", "--config", g.writeCaddyfile(t, logs), "--adapter", "caddyfile").CombinedOutput()
	out = append(out, readFile(t, filepath.Join(logs, "caddy.log"))...)
	var exit *exec.ExitError
	switch {
	case valid && err != nil:
		t.Errorf("caddy validate: %v, want it valid\n%s", err, out)
	case !valid && (!errors.As(err, &exit) || exit.ExitCode() <= 0 || !strings.Contains(string(out), says)):
		t.Errorf("caddy validate: %v, want it refused with %q\n%s", err, says, out)
	}
}

func mistakes(t *testing.T, i *issuer) []mistake {
	t.Helper()
	jwks := i.jwks(t)
	return append(mistakesInFiles(jwks), []mistake{
		{
			name: "no issuer at all", bad: config{Trust: "audience " + audienceName}, good: config{},
			says: "issuer: missing",
		},
		{
			name: "an issuer from a variable that is not set", bad: config{Trust: trust("{env.BYOA_NOWHERE}", "jwks_url "+i.jwksURL())}, good: config{},
			says: "issuer",
		},
		{
			name: "an audience from a variable that is not set", bad: config{Trust: "issuer " + issuerName + "\njwks_url " + i.jwksURL() + "\naudience {env.BYOA_NOWHERE}"}, good: config{},
			says: "audience",
		},
		{
			name: "an assertion type from a variable that is not set", bad: config{Assertion: "type {env.BYOA_NOWHERE}"}, good: config{},
			says: "type",
		},
		{
			name: "an environment that nobody defined", bad: config{Site: "byoa_api /other {\nenvironment nowhere\n}"}, good: config{Site: "byoa_api /other {\nenvironment production\n}"},
			says: "nowhere",
		},
		{
			name: "authorities that are not there", bad: config{Environment: "tls_ca /nowhere/ca.pem"}, good: config{},
			says: "tls_ca",
		},
		{
			name: "a scope that is none", bad: config{Table: "GET /wallets/{id} wallet\"export"}, good: config{},
			says: "scope",
		},
	}...)
}

// mistakesInFiles are those of what the gateway reads when it starts.
func mistakesInFiles(jwks []byte) []mistake {
	const file = "jwks.json"
	keys := filepath.Join("data", "caddy", "byoa", "keys", environmentID+".json")
	nonces := filepath.Join("data", "caddy", "byoa", "nonces", environmentID+".key")
	local := config{Trust: trust(issuerName, "jwks_file "+file)}
	write := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			path := filepath.Join(dir, name)
			if err := errors.Join(os.RemoveAll(path), os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	directory := func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, file), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	good := write(file, string(jwks))
	return []mistake{
		{"a jwks_file that is not there", local, local, nil, good, true, file},
		{"a jwks_file that cannot be read", local, local, directory, good, true, file},
		{"an empty jwks_file", local, local, write(file, ""), good, true, file},
		{"a jwks_file that is no JSON", local, local, write(file, "<html>"), good, true, file},
		{"a jwks_file without keys", local, local, write(file, `{"keys": []}`), good, true, file},
		{"a jwks_file with an HMAC key alone", local, local, write(file, `{"keys": [{"kty": "oct", "alg": "HS256", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]}`), good, true, file},
		{"signing keys that are damaged", config{}, config{}, write(keys, `{"keys": [{`), remove(keys), true, "keys"},
		{"signing keys that are empty", config{}, config{}, write(keys, ""), remove(keys), true, "keys"},
		{"a nonce key of zeros", config{}, config{}, write(nonces, strings.Repeat("\x00", 32)), remove(nonces), true, "it is damaged"},
	}
}

// jwks is the login system's key set as it publishes it.
func (i *issuer) jwks(t *testing.T) []byte {
	t.Helper()
	res, err := http.Get(i.jwksURL())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
