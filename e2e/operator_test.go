package e2e_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A request that has spent its proof must not be cut off because the gateway is to end.
func TestRequestsUnderWayEndBeforeTheGateway(t *testing.T) {
	g := prepareGateway(t, startIssuer(t, newSecrets()), config{Global: "grace_period 1m"})
	reached, goOn := make(chan struct{}, 2), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == export {
			reached <- struct{}{}
			<-goOn
		}
		g.upstream.ServeHTTP(w, r)
	}))
	defer slow.Close()
	g.config.Upstream = slow.URL
	g.start(t)
	session := g.signIn(t, g.issuer.token(t, nil))
	r := post(export).bearer(session).elevated(g.elevate(t, session, "wallet:export"))

	type result struct {
		*answer
		error
	}
	done := make(chan result, 1)
	go func() {
		a, err := g.try(r)
		done <- result{a, err}
	}()
	<-reached
	if err := g.process.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	pollUntil(t, "the gateway takes no more connections", func() bool {
		conn, err := net.Dial("tcp", g.address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(goOn)
	got := <-done
	if got.error != nil {
		t.Fatalf("the request under way: %v", got.error)
	}
	got.mustPass(t)
	select {
	case <-g.process.ended:
	case <-time.After(patience):
		t.Fatal("the gateway does not end")
	}
	if code := g.process.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d, want 0", code)
	}

	g.start(t)
	g.send(t, r).mustRefuse(t, 403, "elevated_used")
	g.send(t, get(home).bearer(session)).mustPass(t)
}

// What was used, revoked and granted is so under the next config as well, and under the
// one before if that one is refused.
func TestReloadKeepsWhatIsKnown(t *testing.T) {
	g := startGateway(t, config{})
	external, revoked := g.issuer.token(t, nil), g.issuer.token(t, nil)
	session, gone := g.signIn(t, external), g.signIn(t, revoked)
	used, kept := g.elevate(t, session, "wallet:export"), []string{g.elevate(t, session, "wallet:export"), g.elevate(t, session, "wallet:export")}
	inline := g.issuer.assertion(t, "wallet:export", nil)
	to := post(export).bearer(session)
	g.send(t, to.elevated(used)).mustPass(t)
	g.send(t, to.assertion(inline)).mustPass(t)
	g.revoke(t, gone)
	kids := g.kids(t)

	mustKnow := func(config, unused string) {
		t.Helper()
		if got := g.send(t, get(home).bearer(session)).mustPass(t).header.Get("X-Config"); got != config {
			t.Errorf("config %q answers, want %q", got, config)
		}
		g.send(t, get(home).bearer(external)).mustPass(t)
		g.send(t, get(home).bearer(gone)).mustRefuse(t, 401, "session_revoked")
		g.send(t, get(home).bearer(revoked)).mustRefuse(t, 401, "session_revoked")
		g.send(t, to.elevated(used)).mustRefuse(t, 403, "elevated_used")
		g.send(t, to.assertion(inline)).mustRefuse(t, 401, "replayed")
		g.send(t, to.elevated(unused)).mustPass(t)
		mustPublish(t, []*gateway{g}, kids...)
	}
	g.config.Site, g.config.Environment = "header X-Config two", "cache_size 8MiB\n\t\t\tsession {\n\t\t\t\tlifetime 30m\n\t\t\t}"
	g.reload(t)
	mustKnow("two", kept[0])

	g.config.Site, g.config.Exchange = "header X-Config three", "issuer "+issuerName
	out, err := command(g.config.dir, "reload", "--config", g.writeCaddyfile(t, g.process.logs), "--adapter", "caddyfile", "--address", g.admin).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "must not be that of a provider") {
		t.Fatalf("reloading with a mistake: %v, want it to be refused and to say why\n%s", err, out)
	}
	mustKnow("two", kept[1])
	g.send(t, to.elevated(kept[0])).mustRefuse(t, 403, "elevated_used")
}
