package caddymodule

import (
	"bytes"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

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
		if f.pass(frame(0x88, 2)); f.between() {
			t.Errorf("in pieces of %d: a frame may follow a close frame", piece)
		}
	}
}

// openSocket returns a WebSocket, and the client's side of its connection.
func openSocket(t *testing.T) (ws *webSocket, client net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ws = newWebSocket(server, nil, new(atomic.Bool))
	t.Cleanup(func() { _, _ = server.Close(), client.Close() })
	return ws, client
}

func TestWebSocketIsToldWhyItEnds(t *testing.T) {
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
			ws, client := openSocket(t)
			if _, err := ws.Write(c.sent); err != nil {
				t.Fatal(err)
			}
			ws.ended.Store(true)
			if _, err := ws.Write(message); err == nil {
				t.Error("something was sent after the end")
			}
			go ws.end(c.code)
			got := make([]byte, len(c.sent)+len(c.want))
			if _, err := io.ReadFull(client, got); err != nil || string(got) != string(c.sent)+c.want {
				t.Errorf("got %q, %v, want %q", tail(got), err, c.want)
			}
			if c.want != "" { // a message is under way; then the client parts
				if _, err := client.Write(slices.Concat(masked(0x82, "to be dropped"), masked(0x88, "\x03\xe8"))); err != nil {
					t.Errorf("the connection was closed before the client had parted: %v", err)
				}
			}
			if rest, err := io.ReadAll(client); len(rest) != 0 || err != nil {
				t.Errorf("got %q, %v, want the end", rest, err)
			}
		})
	}
}

// masked is a frame as clients send it.
func masked(first byte, payload string) []byte {
	return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

func tail(b []byte) []byte { return b[max(0, len(b)-40):] }

// The gateway cannot wait for a client that does not want to part.
func TestWebSocketEndsThoughTheClientDoesNot(t *testing.T) {
	t.Run("it does not read", func(t *testing.T) {
		server, client := net.Pipe() // which holds nothing, so that whoever writes waits
		t.Cleanup(func() { _ = client.Close() })
		ws := newWebSocket(server, nil, new(atomic.Bool))
		written := make(chan error, 1)
		go func() {
			_, err := ws.Write(frame(0x82, 300))
			written <- err
		}()
		pollWhile(t, ws.mu.TryLock, ws.mu.Unlock)
		ws.ended.Store(true)
		ws.end(verifier.CodeExpired) // would hang, if it did
		if err := <-written; err == nil {
			t.Error("what nobody read was written")
		}
	})
	t.Run("it does not close", func(t *testing.T) {
		ws, client := openSocket(t)
		ws.ended.Store(true)
		ws.end(verifier.CodeExpired) // would hang, if it did
		if err := ws.SetDeadline(time.Now()); err == nil {
			t.Error("the connection is open")
		}
		if got, err := io.ReadAll(client); err != nil || !bytes.HasSuffix(got, []byte("expired")) {
			t.Errorf("the client got %q, %v, want a close frame and the end", got, err)
		}
	})
}

// pollWhile waits until try fails, and undoes what it does else.
func pollWhile(t *testing.T, try func() bool, undo func()) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); try(); time.Sleep(time.Millisecond) {
		undo()
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}
