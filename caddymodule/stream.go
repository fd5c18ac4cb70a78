package caddymodule

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// revocationInterval is how often an open stream asks whether its session still stands.
const revocationInterval = time.Second

var errStreamEnded = errors.New("the session of this stream has ended")

// A stream is a response that outlives the decision to allow it: a WebSocket or
// another upgraded connection, or an event stream. It ends with its session.
//
// Nothing passes once it has ended, whatever the proxy below does with cancelled
// contexts: the request's context is cancelled, a hijacked connection is closed, and writes and reads fail.
type stream struct {
	*caddyhttp.ResponseWriterWrapper
	standing func() bool // whether the session still stands
	expires  time.Time   // when it ends by itself
	ctx      context.Context
	cancel   context.CancelFunc

	looked   bool        // at the response's type; only the handler's goroutine writes
	watched  atomic.Bool // it is a stream, and somebody waits for its end
	ended    atomic.Bool
	mu       sync.Mutex // guards hijacked
	hijacked net.Conn
}

// newStream prepares w and r for the case that the response turns out to be a
// stream. The caller calls done when the handler has returned.
func newStream(w http.ResponseWriter, r *http.Request, expires time.Time, standing func() bool) (s *stream, guarded *http.Request, done func()) {
	ctx, cancel := context.WithCancel(r.Context())
	s = &stream{
		ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		standing:              standing,
		expires:               expires,
		ctx:                   ctx,
		cancel:                cancel,
	}
	guarded = r.WithContext(ctx)
	if isUpgrade(r) {
		if guarded.Body != nil {
			guarded.Body = &streamBody{ReadCloser: guarded.Body, ended: &s.ended}
		}
		s.watchOver()
	}
	return s, guarded, cancel
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
	s.mu.Lock()
	s.hijacked = conn
	s.mu.Unlock()
	if s.ended.Load() {
		_ = conn.Close()
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
	ticker := time.NewTicker(revocationInterval)
	defer ticker.Stop()
	expiry := time.NewTimer(time.Until(s.expires))
	defer expiry.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-expiry.C:
			s.end()
			return
		case <-ticker.C:
			if !s.standing() {
				s.end()
				return
			}
		}
	}
}

func (s *stream) end() {
	s.ended.Store(true)
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hijacked != nil {
		_ = s.hijacked.Close()
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
