package caddymodule_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// reluctant is an app that takes its time to start, and then cannot.
type reluctant struct{}

var reluctantStart struct{ begun, refuse chan struct{} }

func (reluctant) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "test_reluctant", New: func() caddy.Module { return new(reluctant) }}
}

func (reluctant) Start() error {
	close(reluctantStart.begun)
	<-reluctantStart.refuse
	return errors.New("reluctant to start")
}

func (reluctant) Stop() error { return nil }

func init() { caddy.RegisterModule(reluctant{}) }

// What an operator ends while a config is being tried is ended, also where that config
// has another store and is refused in the end.
func TestRevocationWhileAConfigIsTriedIsNotLost(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	elsewhere := g.withLines("jwks_url "+g.issuer.JWKSURL(), "store file "+filepath.Join(g.storage(), "other.db"))
	for round := range 6 { // Caddy starts the apps of a config in no fixed order
		session := g.signInWith(g.external("alice", map[string]any{"jti": fmt.Sprint(round)}))
		g.want(request{path: "/wallets/1", bearer: session}, 200, "")
		reluctantStart.begun, reluctantStart.refuse = make(chan struct{}), make(chan struct{})
		g.edit = func(config map[string]any) {
			config["apps"].(map[string]any)["test_reluctant"] = map[string]any{}
		}
		refused := make(chan error, 1)
		go func() { refused <- g.tryLoad(elsewhere, plainSite) }()
		<-reluctantStart.begun
		g.ask(request{method: "DELETE", path: "/byoa/sessions/" + claim(t, session, "sid")}, http.StatusNoContent)
		close(reluctantStart.refuse)
		if err := <-refused; err == nil {
			t.Fatal("the config was taken")
		}
		g.want(request{path: "/wallets/1", bearer: session}, 401, "session_revoked")
	}
}

// A browser opens connections in advance, and a server that shuts down still answers the
// first request on one.
func TestConnectionThatWasOpenedBeforeTheReload(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	token := g.external("alice")
	g.want(request{path: "/wallets/1", bearer: token}, 200, "")
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	elsewhere := g.withLines("jwks_url "+g.issuer.JWKSURL(), "store file "+filepath.Join(g.storage(), "other.db"))
	if err := g.tryLoad(elsewhere, plainSite); err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(conn, "GET /wallets/1 HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", g.address, token)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return // closed without an answer: the client asks again
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("status %d, want 200 or no answer at all", res.StatusCode)
	}
}
