package e2e_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A socketClient is a WebSocket client in Node.js, by ws.
type socketClient struct {
	*dialogue
	g *gateway
}

func startSocketClient(t *testing.T, g *gateway) *socketClient {
	t.Helper()
	return &socketClient{startDialogue(t, "websocket", "client.mjs"), g}
}

// open opens a WebSocket, which must reach the upstream as the user's.
func (c *socketClient) open(t *testing.T, name, token, user string) {
	t.Helper()
	got, _ := c.ask(t, claims{"do": "open", "name": name, "url": "ws://" + c.g.address + "/stream", "token": token}).(claims)
	if got["hello"] != user {
		t.Fatalf("opening a WebSocket: got %v, want one of %s", got, user)
	}
}

// mustLive fails the test unless frames of every size pass, and come back.
func (c *socketClient) mustLive(t *testing.T, name string) {
	t.Helper()
	for _, bytes := range []int{0, 1, 125, 126, 65_535, 65_536, 300_000} {
		c.ask(t, claims{"do": "say", "name": name, "bytes": bytes})
	}
}

// mustBeClosed waits until a socket is closed, which must be in this way.
func (c *socketClient) mustBeClosed(t *testing.T, name string, code int, reason string) {
	t.Helper()
	got, _ := c.ask(t, claims{"do": "closed", "name": name}).(claims)
	if got["code"] != float64(code) || got["reason"] != reason {
		t.Errorf("the socket was closed with %v, want %d %q", got, code, reason)
	}
}

// startStreaming starts a gateway in front of an upstream of WebSockets and event streams.
func startStreaming(t *testing.T, i *issuer, c config) *gateway {
	t.Helper()
	c.Upstream = startNode(t, "websocket", "server.mjs").url
	c.Table = "GET /stream -\nGET /events -\nGET /wallets/{id} -"
	return startGatewayFor(t, i, c)
}

// Whoever has been let go, or whose time is up, listens on for as long as the connection
// lasts, which may be days; and an app that is cut off does not know whether to come back.
func TestWebSocketOutlivesNoSession(t *testing.T) {
	i := startIssuer(t, newSecrets())
	g := startStreaming(t, i, config{})
	c := startSocketClient(t, g)
	lives, revoked := g.signIn(t, i.token(t, claims{"sub": "alice"})), i.token(t, claims{"sub": "bob"})
	c.open(t, "lives", lives, "alice")
	c.open(t, "revoked", revoked, "bob")
	c.open(t, "expires", soonExpired(t, i), "carol")
	c.mustLive(t, "expires")
	c.mustLive(t, "revoked")

	g.revoke(t, revoked)
	c.mustBeClosed(t, "revoked", 3000, "session_revoked")
	c.mustBeClosed(t, "expires", 3000, "expired")
	c.mustLive(t, "lives")

	c.open(t, "the upstream ends it", lives, "alice")
	c.ask(t, claims{"do": "ask", "name": "the upstream ends it", "message": claims{"close": 4001}})
	c.mustBeClosed(t, "the upstream ends it", 4001, "as you like")
	refused, _ := c.ask(t, claims{"do": "open", "name": "again", "url": "ws://" + g.address + "/stream", "token": revoked}).(claims)
	if refused["refused"] != 401.0 {
		t.Errorf("opening another one with the revoked token: got %v, want 401", refused)
	}
	g.operate(t, "/byoa/environments/production/disable")
	c.mustBeClosed(t, "lives", 3000, "external_auth_disabled")
}

// soonExpired is a token of carol, good for as long as the slowest machine takes to connect.
func soonExpired(t *testing.T, i *issuer) string {
	t.Helper()
	return i.token(t, claims{"sub": "carol", "exp": time.Now().Add(10 * time.Second).Unix()})
}

// The other way it was chosen: a stream that may outlive its session.
func TestUnlimitedWebSocketOutlivesItsSession(t *testing.T) {
	i := startIssuer(t, newSecrets())
	g := startStreaming(t, i, config{Gate: "stream_lifetime unlimited"})
	c := startSocketClient(t, g)
	revoked, expires := i.token(t, claims{"sub": "bob"}), soonExpired(t, i)
	c.open(t, "revoked", revoked, "bob")
	c.open(t, "expires", expires, "carol")
	g.revoke(t, revoked)
	pollUntil(t, "the token has expired", func() bool {
		return g.send(t, get(home).bearer(expires)).text("code") == "expired"
	})
	g.send(t, get(home).bearer(revoked)).mustRefuse(t, 401, "session_revoked")
	c.mustLive(t, "revoked")
	c.mustLive(t, "expires")
}

// watchStreams opens a WebSocket and an event stream as a page does, and keeps what becomes
// of them. An EventSource comes again by itself when it was cut, unless it is refused.
const watchStreams = `
	window.events = []
	window.socket = new WebSocket('/stream')
	window.source = new EventSource('/events')
	socket.onmessage = ({ data }) => events.push('socket: ' + data)
	source.onmessage = ({ data }) => { if (data !== 'tick') events.push('source: ' + data) }
	socket.onclose = ({ code, reason, wasClean }) => events.push('closed: ' + code + ' ' + reason + ' ' + wasClean)
	source.onerror = () => { if (source.readyState === EventSource.CLOSED) events.push('source: refused') }
	undefined`

// A page knows of a connection what the browser tells it, which is not much: nothing of a
// refusal, and of a connection that was cut that it was.
func TestPageLearnsThatItsStreamsHaveEnded(t *testing.T) {
	i := startIssuer(t, newSecrets())
	g := startStreaming(t, i, config{})
	token := i.token(t, claims{"sub": "alice"})
	b := startBrowser(t)
	b.do(t, claims{"do": "open", "url": "http://" + g.address + "/"})
	b.evaluate(t, fmt.Sprintf(`document.cookie = 'session_jwt=%s'`, token))
	b.evaluate(t, watchStreams)
	mustHappen := func(want ...string) {
		t.Helper()
		var got []string
		for deadline := time.Now().Add(patience); !slices.Equal(got, want); time.Sleep(10 * time.Millisecond) {
			if got = texts(b.evaluate(t, `events.toSorted()`)); time.Now().After(deadline) {
				t.Fatalf("the page has seen %q, want %q", got, want)
			}
		}
	}
	mustHappen("socket: alice", "source: alice")
	g.revoke(t, token)
	mustHappen("closed: 3000 session_revoked true", "socket: alice", "source: alice", "source: refused")
}
