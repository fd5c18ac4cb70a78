package caddymodule_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// Over HTTP/3, and over HTTP/2 where it is switched on, a WebSocket begins with an
// extended CONNECT, which reverse_proxy sends on as a GET. Were the table asked about
// CONNECT, no line for GET would match, and a general line or `default session` let it in.
func TestExtendedConnectIsUnderTheRuleOfTheGETThatItBecomes(t *testing.T) {
	g := prepareTLS(t)
	g.load(plainEnvironment, `byoa
	step_up {
		GET /wallets/{id}/stream wallet:stream
		default session
	}
	reverse_proxy {{upstream}}`)
	client := g.http3()
	external := g.external("alice")
	proof := http.Header{"Authorization": {"Bearer " + external}, "X-Step-Up-Assertion": {g.assertion("alice", "wallet:stream")}}
	for _, c := range []struct {
		name, method string
		header       http.Header
		want         int
	}{
		{"GET", http.MethodGet, http.Header{"Authorization": {"Bearer " + external}}, 403},
		{"CONNECT", http.MethodConnect, http.Header{"Authorization": {"Bearer " + external}}, 403},
		{"CONNECT with what it needs", http.MethodConnect, proof, 200},
	} {
		before := g.upstream.count()
		if got := client.status(c.method, "/wallets/1/stream", c.header); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if reached := g.upstream.count() > before; reached != (c.want == 200) {
			t.Errorf("%s: reached the upstream: %t", c.name, reached)
		}
	}
}

// http3Client speaks HTTP/3 with the gateway.
type http3Client struct {
	g    *running
	conn *http3.ClientConn
}

func (g *running) http3() *http3Client {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	g.t.Cleanup(cancel)
	trust := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}, ServerName: "localhost"}
	conn, err := quic.DialAddr(ctx, g.address, trust, patientQUIC())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	client := (&http3.Transport{}).NewClientConn(conn)
	<-client.ReceivedSettings()
	return &http3Client{g: g, conn: client}
}

// status sends a request, as an extended CONNECT for a WebSocket where the method is CONNECT.
func (c *http3Client) status(method, path string, header http.Header) int {
	t := c.g.t
	t.Helper()
	stream := c.send(method, path, header)
	closed := stream.Close() // fails where the server has answered already, and wants no more
	res, err := stream.ReadResponse()
	if err != nil {
		t.Fatal(errors.Join(err, closed))
	}
	return res.StatusCode
}

// send begins a request, which whoever calls it ends.
func (c *http3Client) send(method, path string, header http.Header) *http3.RequestStream {
	t := c.g.t
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	stream, err := c.conn.OpenRequestStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{
		Method: method, Host: "localhost", Header: header, Proto: "HTTP/3.0",
		URL: &url.URL{Scheme: "https", Host: "localhost", Path: path},
	}
	if method == http.MethodConnect {
		r.Proto = "websocket"
	}
	if err := stream.SendRequestHeader(r); err != nil {
		t.Fatal(err)
	}
	return stream
}

// http3Socket is a WebSocket over HTTP/3 with an upstream that sends back what it gets.
type http3Socket struct{ *http3.RequestStream }

func (c *http3Client) open(path string, header http.Header) http3Socket {
	t := c.g.t
	t.Helper()
	stream := c.send(http.MethodConnect, path, header)
	res, err := stream.ReadResponse()
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("opening a WebSocket at %s: %v, %v", path, res, err)
	}
	return http3Socket{stream}
}

func (s http3Socket) mustLive(t *testing.T) {
	t.Helper()
	got := make([]byte, len("ping"))
	if err := s.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, wrote := io.WriteString(s, "ping")
	if _, err := io.ReadFull(s, got); wrote != nil || err != nil || string(got) != "ping" {
		t.Errorf("got %q back, %v, %v", got, wrote, err)
	}
}

func (s http3Socket) mustEnd(t *testing.T) {
	t.Helper()
	if err := s.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(s)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatal("the WebSocket goes on without its session")
	}
	if len(rest) > 0 {
		t.Errorf("got %q after the session", rest)
	}
}

// sendBack is a server of WebSockets (RFC 6455 section 4.2.2) that does not look at frames.
func sendBack(w http.ResponseWriter, _ *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(conn, rw)
}

// A WebSocket has no connection of its own here that could be closed: whoever was let go
// would listen on for as long as the browser keeps its connection to the site.
func TestWebSocketOverHTTP3EndsWithItsSession(t *testing.T) {
	g := prepareTLS(t)
	g.load(plainEnvironment, `byoa_api
	handle /limited {
		byoa
		reverse_proxy {{upstream}}
	}
	handle /unlimited {
		byoa {
			stream_lifetime unlimited
		}
		reverse_proxy {{upstream}}
	}`)
	g.upstream.answer(sendBack)
	client := g.http3()
	header := http.Header{"Authorization": {"Bearer " + g.external("alice")}}
	limited, unlimited := client.open("/limited", header), client.open("/unlimited", header)
	limited.mustLive(t)
	unlimited.mustLive(t)
	if got := client.status(http.MethodPost, "/api/v0/sdk/"+environmentID+"/revoke", header); got != http.StatusNoContent {
		t.Fatalf("revoking: %d", got)
	}
	limited.mustEnd(t)
	unlimited.mustLive(t)
}
