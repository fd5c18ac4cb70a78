package caddymodule_test

import (
	"bufio"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/internal/secrecy"
)

// Whoever reads a signing key can be anybody, and nothing here would ever know: no answer has
// one, whatever it is about and however it was asked for.
func TestAdminAnswersHoldNoPrivateKey(t *testing.T) {
	for _, algorithm := range []string{"ES256", "EdDSA", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			g := startAdmin(t, strings.Replace(plainEnvironment, "{{environment}}", "{{environment}}\n\t\t\texchange local {\n\t\t\t\talgorithm "+algorithm+"\n\t\t\t}", 1), plainSite)
			session := g.signIn("alice")
			answers := map[string]string{"the command": g.rotateByCommand(t)} // two keys from here on
			for _, e := range adminEndpoints {
				answers[e.method+" "+e.path] = g.ask(request{method: e.method, path: e.path, body: e.body}, e.status).raw
			}
			for _, path := range []string{"jwks", ".well-known/jwks", ".well-known/jwks.json", "settings", "nonces?count=2", "nonce", "users"} {
				answers[path] = g.do(request{path: endpoints + "/" + path, bearer: session}).raw
			}
			for _, target := range []string{
				"/byoa/health", "/metrics", "/config/", "/config/apps/byoa", "//byoa/health", "/byoa//environments", "/byoa/../config/",
				"/byoa/environments/..%2f..%2fconfig/decisions", "/byoa/keys", "/byoa/keys/" + environmentID + ".json",
				"/byoa/nonces/" + environmentID + ".key", "/debug/vars", "http://" + g.admin + "/byoa/environments",
			} {
				answers["raw "+target] = g.rawAdmin(t, target)
			}
			keys := g.privateKeys(t)
			for what, answer := range answers {
				for _, leak := range keys.In(what, answer) {
					t.Error(leak)
				}
			}
			if got := answers["raw /byoa/health"]; !strings.Contains(got, `"signing_keys"`) {
				t.Errorf("this test looks at nothing: %s", got)
			}
			if got := answers[".well-known/jwks.json"]; strings.Count(got, `"kid"`) != 2 {
				t.Errorf("the JWKS has not the two keys: %s", got)
			}
		})
	}
}

// privateKeys knows the keys in the storage, and has found them there.
func (g *running) privateKeys(t *testing.T) *secrecy.Recorder {
	t.Helper()
	keys := new(secrecy.Recorder)
	private, nonces := 0, 0
	err := filepath.WalkDir(g.storage(), func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(file)
		switch filepath.Base(filepath.Dir(file)) {
		case "keys":
			private += keys.AddKeys("the signing keys", content)
			if len(keys.In(file, string(content))) == 0 {
				t.Errorf("the search does not find the keys where they are")
			}
		case "nonces":
			nonces++
			keys.AddBytes("the nonce key", content)
		}
		return err
	})
	if err != nil || private < 2 || nonces != 1 {
		t.Fatalf("%d private members in the storage and %d nonce keys, want two keys at least and one: %v", private, nonces, err)
	}
	return keys
}

// rotateByCommand returns what the command prints.
func (g *running) rotateByCommand(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "caddy", "byoa", "keys", "rotate", "--address", g.admin).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// rawAdmin asks the admin API for a target as it is, which a client would clean.
func (g *running) rawAdmin(t *testing.T, target string) string {
	t.Helper()
	conn, err := net.Dial("tcp", g.admin)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: "+g.admin+"\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil || len(answer) == 0 {
		t.Fatalf("%s: %q, %v", target, answer, err)
	}
	return string(answer)
}
