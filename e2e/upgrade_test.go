package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// upgrade sends r as a request to switch protocols and returns the open connection.
func (g *gateway) upgrade(t *testing.T, r request) (net.Conn, *bufio.Reader, *seen) {
	t.Helper()
	conn, number, err := g.open(r.header("Connection", "Upgrade").header("Upgrade", "websocket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	buffered := bufio.NewReader(conn)
	res, err := http.ReadResponse(buffered, nil)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	g.secrets.judge(r.path, &answer{status: res.StatusCode, header: res.Header})
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %s, want 101", res.Status)
	}
	return conn, buffered, g.upstream.numbered(number)
}

func mustEcho(t *testing.T, conn net.Conn, buffered *bufio.Reader, message string) {
	t.Helper()
	if _, err := io.WriteString(conn, message); err != nil {
		t.Fatalf("sending: %v", err)
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(buffered, got); err != nil || string(got) != message {
		t.Fatalf("the echo of %q is %q, %v", message, got, err)
	}
}

func TestUpgradedConnectionCarriesBytesBothWays(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	upgrade := get("/stream").header("Connection", "Upgrade").header("Upgrade", "websocket")
	g.send(t, upgrade).mustRefuse(t, 401, "token_missing")

	conn, buffered, s := g.upgrade(t, get("/stream").bearer(external))
	if s == nil {
		t.Fatal("the request did not reach the upstream")
	}
	g.issuer.verify(t, s.bearer(t), g.jwksURL(), claims{"audience": environmentID})
	for n := range 3 {
		mustEcho(t, conn, buffered, fmt.Sprintf("message %d", n))
	}
}

// Who has been let go must not keep listening on a connection opened before.
func TestUpgradedConnectionEndsWithItsSession(t *testing.T) {
	g := startGateway(t, config{})
	session, other := g.signIn(t, g.issuer.token(t, nil)), g.signIn(t, g.issuer.token(t, nil))
	conn, buffered, _ := g.upgrade(t, get("/stream").bearer(session))
	stays, staysBuffered, _ := g.upgrade(t, get("/stream").bearer(other))
	mustEcho(t, conn, buffered, "before")

	g.revoke(t, session)

	if rest, err := io.ReadAll(buffered); err != nil || len(rest) != 0 {
		t.Errorf("after the revocation the connection gave %q, %v, want its end", rest, err)
	}
	mustEcho(t, stays, staysBuffered, "after")
}
