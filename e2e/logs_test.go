package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every test ends with a search through all logs. This one shows that the search
// would find something: without the encoder, Caddy's access log holds what clients send.
func TestOnlyTheEncoderKeepsTokensOutOfTheAccessLog(t *testing.T) {
	i := startIssuer(t, newSecrets())
	for format, found := range map[string]bool{"json": true, "byoa": false} {
		t.Run(format, func(t *testing.T) {
			g := startGatewayFor(t, i, config{LogFormat: format})
			if i.secrets.tolerate(); found {
				i.secrets.tolerate("access.log")
			}
			g.send(t, post(export).bearer(i.token(t, nil)).assertion(i.assertion(t, "wallet:export", nil))).mustPass(t)
			g.stop(t)
			text := g.process.log(t, "access.log")
			if got := len(i.secrets.in(text)) > 0; got != found {
				t.Errorf("tokens found in the access log: %v, want %v", got, found)
			}
			if !strings.Contains(text, export) {
				t.Errorf("the access log does not hold the request: %q", text)
			}
		})
	}
}

func TestLogsAreThoseOfDebugging(t *testing.T) {
	g := startGateway(t, config{})
	g.send(t, get(home).bearer(g.issuer.token(t, nil))).mustPass(t)
	g.stop(t)
	text := g.process.log(t, "caddy.log")
	for _, want := range []string{`"level":"debug"`, `"logger":"http.handlers.reverse_proxy"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log does not hold %s", want)
		}
	}
}

// log returns one of the process's logs.
func (p *process) log(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.logs, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
