package caddymodule

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// frame is what a WebSocket server sends (RFC 6455 section 5.2).
func frame(first byte, length int) []byte {
	b := []byte{first}
	switch {
	case length < 126:
		b = append(b, byte(length))
	case length < 1<<16:
		b = append(b, 126, byte(length>>8), byte(length))
	default:
		b = append(b, 127, 0, 0, 0, 0, byte(length>>24), byte(length>>16), byte(length>>8), byte(length))
	}
	return append(b, bytes.Repeat([]byte{0x88}, length)...) // looks like the head of a close frame
}

// A goodbye in the middle of a message would be a part of the message: the last that the
// client reads is what nobody has written.
func TestFramesEndWhereTheNextOneBegins(t *testing.T) {
	var whole []byte
	ends := map[int]bool{0: true}
	for _, f := range [][]byte{
		frame(0x81, 0), frame(0x01, 5), frame(0x89, 0), frame(0x80, 125), frame(0x82, 126), frame(0x82, 300), frame(0x82, 65_536),
		{0x82, 0x80 | 3, 1, 2, 3, 4, 5, 6, 7}, // masked, which a server must not do
	} {
		whole = append(whole, f...)
		ends[len(whole)] = true
	}
	for _, piece := range []int{1, 2, 3, 7, 1000, len(whole)} {
		var f frames
		for at := 0; at < len(whole); {
			n := min(piece, len(whole)-at)
			f.pass(whole[at : at+n])
			if at += n; f.between() != ends[at] {
				t.Fatalf("in pieces of %d, after %d bytes: between frames is %t, want %t", piece, at, f.between(), ends[at])
			}
		}
		mustClose(t, &f)
	}
}

// mustClose fails the test unless nothing follows a close frame, which is over at its end.
func mustClose(t *testing.T, f *frames) {
	t.Helper()
	goodbye := frame(0x88, 2)
	for _, step := range []struct {
		sent []byte
		over bool
	}{
		{goodbye[:3], false},
		{goodbye[3:], true},
		{frame(0x82, 1), true}, // which nobody must send any more
	} {
		if f.pass(step.sent); f.between() || f.over() != step.over {
			t.Fatalf("from the close frame on, after %q: a frame may follow: %t, and it is over: %t", step.sent, f.between(), f.over())
		}
	}
}

// A heardConn keeps what was read from it before it was closed, which comes byte by byte.
type heardConn struct {
	*net.TCPConn
	heard []byte
}

func (c *heardConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b[:min(1, len(b))])
	c.heard = append(c.heard, b[:n]...)
	return n, err
}

// openSocket returns a WebSocket whose handshake came with the beginning of a frame, both
// sides of its connection, and the server's first.
func openSocket(t *testing.T, early string) (ws *webSocket, server *heardConn, client net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server = &heardConn{TCPConn: conn.(*net.TCPConn)}
	t.Cleanup(func() { _, _ = server.Close(), client.Close() })
	return newWebSocket(server, []byte(early), new(atomic.Bool)), server, client
}

// A client that has sent something which nobody has read when the connection is closed may
// never get to read why: the end waits for its close frame, and for all of it.
func TestWebSocketIsToldWhyItEnds(t *testing.T) {
	// A message is under way, which looks as if the client had parted; then it does.
	early, rest := masked(0x82, "")[:6], "\x88\x80\x00\x00\x00\x00"+string(masked(0x88, "\x03\xe8"))
	early[1] |= 6
	message, part := frame(0x82, 300), frame(0x82, 300)[:100]
	goodbye := frame(0x88, 2)
	for name, c := range map[string]struct {
		sent []byte
		code verifier.Code
		want string // after what was sent
	}{
		"nothing was sent":              {nil, verifier.CodeExpired, "\x88\x09\x0b\xb8expired"},
		"after a message":               {message, gateway.CodeSessionRevoked, "\x88\x11\x0b\xb8session_revoked"},
		"nobody can tell for a while":   {message, gateway.CodeStoreUnavailable, "\x88\x13\x03\xf5store_unavailable"},
		"in the middle of a message":    {part, verifier.CodeExpired, ""},
		"in the middle of a head":       {message[:3], verifier.CodeExpired, ""},
		"the upstream has said goodbye": {goodbye, verifier.CodeExpired, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ws, server, client := openSocket(t, string(early))
			if _, err := ws.Write(c.sent); err != nil {
				t.Fatal(err)
			}
			var heard string
			if c.want != "" {
				heard = rest
			}
			if _, err := io.WriteString(client, heard); err != nil {
				t.Fatal(err)
			}
			ws.ended.Store(true)
			ws.end(c.code)
			if string(server.heard) != heard {
				t.Errorf("the connection was closed after %q from the client, want %q", server.heard, heard)
			}
			if got, err := io.ReadAll(client); err != nil || string(got) != string(c.sent)+c.want {
				t.Errorf("got %q, %v, want %q", tail(got), err, c.want)
			}
		})
	}
}

// The proxy learns that it is over at the same time as the client, and closes its side: what it
// did first would cut the goodbye off.
func TestNothingPassesAWebSocketThatHasEnded(t *testing.T) {
	said := slices.Concat(masked(0x82, "hello"), masked(0x88, "\x03\xe8"))
	for _, c := range []struct {
		ended bool
		err   error
		read  int
		want  string
	}{
		{false, nil, len(said), "message"},
		{true, errStreamEnded, 0, "\x88\x09\x0b\xb8expired"},
	} {
		ws, _, client := openSocket(t, "")
		if _, err := client.Write(said); err != nil {
			t.Fatal(err)
		}
		ws.ended.Store(c.ended)
		if n, err := io.ReadFull(ws, make([]byte, len(said))); n != c.read || !errors.Is(err, c.err) {
			t.Errorf("ended: %t, and the upstream gets %d bytes, %v", c.ended, n, err)
		}
		if _, err := io.WriteString(ws, "message"); !errors.Is(err, c.err) {
			t.Errorf("ended: %t, writing: %v", c.ended, err)
		}
		if err := ws.CloseWrite(); !errors.Is(err, c.err) {
			t.Errorf("ended: %t, closing one half: %v", c.ended, err)
		}
		if err := ws.Close(); err != nil {
			t.Errorf("ended: %t, closing: %v", c.ended, err)
		}
		if c.ended {
			ws.end(verifier.CodeExpired)
		}
		if got, err := io.ReadAll(client); string(got) != c.want || err != nil {
			t.Errorf("ended: %t, and the client got %q, %v, want %q", c.ended, got, err, c.want)
		}
	}
}

// masked is a frame as clients send it.
func masked(first byte, payload string) []byte {
	return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

func tail(b []byte) []byte { return b[max(0, len(b)-40):] }
