package caddymodule_test

import (
	"context"
	"crypto/tls"
	"errors"
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
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
	closed := stream.Close() // fails where the server has answered already, and wants no more
	res, err := stream.ReadResponse()
	if err != nil {
		t.Fatal(errors.Join(err, closed))
	}
	return res.StatusCode
}
