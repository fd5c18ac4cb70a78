package caddymodule

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// endOf ends a WebSocket, and says when it has.
func endOf(ws *webSocket) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ws.end(verifier.CodeExpired)
	}()
	return ended
}

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
		mustEnd(t, "the end", endOf(ws))
		if err := <-written; err == nil {
			t.Error("what nobody read was written")
		}
	})
	t.Run("it does not close", func(t *testing.T) {
		ws, _, client := openSocket(t, "")
		ws.ended.Store(true)
		mustEnd(t, "the end", endOf(ws))
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

// What the client gets after a message that was cut short is the rest of that message.
func TestNoGoodbyeFollowsAMessageThatWasCutShort(t *testing.T) {
	server, client := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	ws := newWebSocket(server, nil, new(atomic.Bool))
	written := make(chan error, 1)
	go func() {
		_, err := ws.Write(frame(0x82, 300))
		written <- err
	}()
	if _, err := io.ReadFull(client, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := ws.SetWriteDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err == nil {
		t.Fatal("the message was written")
	}
	ws.ended.Store(true)
	ended := endOf(ws)
	if got, err := io.ReadAll(client); len(got) > 0 || err != nil {
		t.Errorf("the client got %q, %v, want the end", got, err)
	}
	mustEnd(t, "the end", ended)
}

// A patientConn has all the time that a slow machine takes.
type patientConn struct{ net.Conn }

func (patientConn) SetDeadline(time.Time) error { return nil }

// The proxy copies in both directions up to the end, and after it: nobody else may then
// have an idea of where a frame ends.
func TestWebSocketEndsWhileBothSidesSpeak(t *testing.T) {
	server, client := net.Pipe()
	ws := newWebSocket(patientConn{server}, nil, new(atomic.Bool))
	t.Cleanup(func() { _, _ = server.Close(), client.Close() })
	if err := client.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	message, goodbye := frame(0x82, 300), []byte("\x88\x09\x0b\xb8expired")
	var proxy sync.WaitGroup
	proxy.Go(func() { _, _ = io.Copy(io.Discard, ws) })
	proxy.Go(func() {
		for err := error(nil); err == nil; {
			_, err = ws.Write(message)
		}
	})
	mustSend := func(first byte, payload string) {
		t.Helper()
		if _, err := client.Write(masked(first, payload)); err != nil {
			t.Fatalf("the client could not send its %q: %v", payload, err)
		}
	}
	mustSend(0x82, "hello")
	if _, err := io.ReadFull(client, make([]byte, len(message))); err != nil {
		t.Fatal(err)
	}
	ws.ended.Store(true)
	ended := endOf(ws)
	for got := make([]byte, len(message)); ; {
		begins := got[:len(goodbye)]
		if _, err := io.ReadFull(client, begins); err != nil {
			t.Fatalf("waiting for the goodbye: %v", err)
		}
		if bytes.Equal(begins, goodbye) {
			break
		}
		if _, err := io.ReadFull(client, got[len(goodbye):]); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("got %q, %v, want a message or the goodbye", got, err)
		}
	}
	mustSend(0x82, "to be dropped")
	mustSend(0x88, "\x03\xe8")
	mustEnd(t, "the end", ended)
	proxy.Wait()
}
