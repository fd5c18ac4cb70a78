package caddymodule

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// revocationInterval is how often an open stream asks whether its session still stands.
const revocationInterval = time.Second

var errStreamEnded = errors.New("the session of this stream has ended")

// A stream is a response that outlives the decision to allow it: a WebSocket or
// another upgraded connection, or an event stream. It ends with its session.
//
// Nothing passes once it has ended, whatever the proxy below does with cancelled
// contexts: the request's context is cancelled, a hijacked connection is closed, and writes and reads fail.
// The client of a WebSocket is told why, see [webSocket]; to all others the connection is lost,
// and they learn why when they come again.
type stream struct {
	*caddyhttp.ResponseWriterWrapper
	socket   bool         // what the client wants is a WebSocket on a connection of its own
	standing func() error // why the session does not count any more
	expires  time.Time    // when it ends by itself
	ctx      context.Context
	cancel   context.CancelFunc

	looked    bool          // at the response's type; only the handler's goroutine writes
	watched   atomic.Bool   // it is a stream, and somebody waits for its end
	unwatched chan struct{} // closed when nobody does any more
	ended     atomic.Bool
	mu        sync.Mutex // guards hijacked
	hijacked  ending
}

// An ending is a connection that can be closed so that the other side knows why.
type ending interface{ end(code verifier.Code) }

// A cut ends a connection of which nothing is known but that it is one.
type cut struct{ net.Conn }

func (c cut) end(verifier.Code) { _ = c.Close() }

// newStream prepares w and r for the case that the response turns out to be a
// stream. The caller calls done when the handler has returned; then the stream is closed, which
// may take as long as its end does, or has nothing more to do with w and the connection.
func newStream(w http.ResponseWriter, r *http.Request, expires time.Time, standing func() error) (s *stream, guarded *http.Request, done func()) {
	ctx, cancel := context.WithCancel(r.Context())
	s = &stream{
		ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		socket:                strings.EqualFold(r.Header.Get("Upgrade"), "websocket"),
		standing:              standing,
		expires:               expires,
		ctx:                   ctx,
		cancel:                cancel,
		unwatched:             make(chan struct{}),
	}
	guarded = r.WithContext(ctx)
	if isUpgrade(r) {
		if guarded.Body != nil {
			guarded.Body = &streamBody{ReadCloser: guarded.Body, ended: &s.ended}
		}
		s.watchOver()
	}
	return s, guarded, s.done
}

// done waits for whoever is about to end the stream: what is written to the connection then
// is counted by Caddy, which reads the count next.
func (s *stream) done() {
	s.cancel()
	if s.watched.Load() {
		<-s.unwatched
	}
}

// isUpgrade says whether the connection is to become something other than HTTP
// (RFC 9110 section 7.8, RFC 8441).
func isUpgrade(r *http.Request) bool {
	return r.Header.Get("Upgrade") != "" || r.Method == http.MethodConnect
}

// WriteHeader begins to watch where the response is an event stream.
func (s *stream) WriteHeader(status int) {
	s.look()
	s.ResponseWriterWrapper.WriteHeader(status)
}

func (s *stream) look() {
	s.looked = true
	if mediaType, _, err := mime.ParseMediaType(s.Header().Get("Content-Type")); err == nil && mediaType == "text/event-stream" {
		s.watchOver()
	}
}

// Write passes nothing on once the stream has ended.
func (s *stream) Write(b []byte) (int, error) {
	if !s.looked {
		s.look()
	}
	if s.ended.Load() {
		return 0, errStreamEnded
	}
	return s.ResponseWriterWrapper.Write(b)
}

// ReadFrom copies piece by piece where the stream may end in between.
func (s *stream) ReadFrom(r io.Reader) (int64, error) {
	if !s.looked {
		s.look()
	}
	if s.watched.Load() {
		return io.Copy(struct{ io.Writer }{s}, r)
	}
	return s.ResponseWriterWrapper.ReadFrom(r)
}

// Hijack hands the connection over, and keeps hold of it to close it at the end.
func (s *stream) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(s.ResponseWriterWrapper).Hijack()
	if err != nil {
		return nil, nil, err
	}
	var held ending = cut{conn}
	if s.socket && rw.Writer.Buffered() == 0 {
		early, _ := rw.Peek(rw.Reader.Buffered())
		ws := newWebSocket(conn, early, &s.ended)
		rw.Writer.Reset(ws)
		conn, held = ws, ws
	}
	s.mu.Lock()
	s.hijacked = held
	s.mu.Unlock()
	if s.ended.Load() {
		held.end(gateway.CodeSessionRevoked)
		return nil, nil, errStreamEnded
	}
	return conn, rw, nil
}

func (s *stream) watchOver() {
	if s.watched.CompareAndSwap(false, true) {
		go s.waitForEnd()
	}
}

// waitForEnd ends the stream with its session, and itself with the request.
func (s *stream) waitForEnd() {
	defer close(s.unwatched)
	ticker := time.NewTicker(revocationInterval)
	defer ticker.Stop()
	expiry := time.NewTimer(time.Until(s.expires))
	defer expiry.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-expiry.C:
			s.end(verifier.CodeExpired)
			return
		case <-ticker.C:
			if err := s.standing(); err != nil {
				s.end(cmp.Or(gateway.CodeOf(err), gateway.CodeSessionRevoked))
				return
			}
		}
	}
}

func (s *stream) end(code verifier.Code) {
	s.ended.Store(true)
	s.cancel()
	s.mu.Lock()
	hijacked := s.hijacked
	s.mu.Unlock()
	if hijacked != nil {
		hijacked.end(code)
	}
}

// streamBody is what the client sends after an upgrade over HTTP/2 and HTTP/3.
type streamBody struct {
	io.ReadCloser
	ended *atomic.Bool
}

func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.ended.Load() {
		return 0, errStreamEnded
	}
	return n, err
}
