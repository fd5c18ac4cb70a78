package caddymodule

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// openStream prepares a stream whose session stands, until then.
func openStream(t *testing.T, w http.ResponseWriter, r *http.Request, expires time.Time) (*stream, *http.Request) {
	t.Helper()
	s, guarded, done := newStream(w, r, expires, func() error { return nil })
	t.Cleanup(done)
	return s, guarded
}

// mustEnd fails the test where something goes on for ever.
func mustEnd(t *testing.T, what string, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatalf("%s goes on", what)
	}
}

// The type of an event stream is written in several ways, and its first event in three. One that
// was not known for what it is would outlive its session; and what is behind the gate
// may take no notice of a cancelled request.
func TestEventStreamEndsHoweverItBegins(t *testing.T) {
	const event = "data: x\n\n"
	ways := map[string]func(s *stream) error{
		"WriteHeader": func(s *stream) error { s.WriteHeader(http.StatusOK); return nil },
		"Write":       func(s *stream) error { _, err := io.WriteString(struct{ io.Writer }{s}, event); return err },
		"ReadFrom":    func(s *stream) error { _, err := s.ReadFrom(strings.NewReader(event)); return err },
	}
	for contentType, streams := range map[string]bool{
		"text/event-stream":                true,
		"text/event-stream; charset=utf-8": true,
		"Text/Event-Stream;charset=UTF-8":  true,
		"text/event-streams":               false,
		"application/json":                 false,
	} {
		for begins, begin := range ways {
			t.Run(contentType+", "+begins, func(t *testing.T) {
				w := httptest.NewRecorder()
				s, guarded := openStream(t, w, httptest.NewRequest(http.MethodGet, "/", nil), time.Now())
				s.Header().Set("Content-Type", contentType)
				if err := begin(s); err != nil && !streams { // a stream may have ended before its first event
					t.Fatal(err)
				}
				if s.watched.Load() != streams {
					t.Fatalf("it is taken for a stream: %t", !streams)
				}
				var want error
				if streams {
					mustEnd(t, "the stream", guarded.Context().Done())
					want = errStreamEnded
				}
				before := w.Body.Len()
				for _, name := range []string{"Write", "ReadFrom"} {
					if err := ways[name](s); !errors.Is(err, want) {
						t.Errorf("%s after the session: %v, want %v", name, err, want)
					}
				}
				if passed := w.Body.Len() > before; passed == streams {
					t.Errorf("something passed after the session: %t", passed)
				}
			})
		}
	}
}

// A meanwhile says something, once something else has happened.
type meanwhile struct {
	happens func()
	says    string
}

func (m meanwhile) Read(p []byte) (int, error) {
	m.happens()
	return copy(p, m.says), io.EOF
}

// The upstream's next event may be a day away: what waited for it when the session ended
// must not pass it on.
func TestEventThatWasWaitedForAtTheEndDoesNotPass(t *testing.T) {
	for _, ends := range []bool{false, true} {
		w := httptest.NewRecorder()
		s, _ := openStream(t, w, httptest.NewRequest(http.MethodGet, "/", nil), time.Now().Add(time.Hour))
		s.Header().Set("Content-Type", "text/event-stream")
		_, err := s.ReadFrom(io.MultiReader(strings.NewReader("data: before\n\n"), meanwhile{endIf(ends, s), "data: after\n\n"}))
		if errors.Is(err, errStreamEnded) != ends || strings.Contains(w.Body.String(), "after") == ends {
			t.Errorf("the session ends: %t, and the client got %q, %v", ends, w.Body, err)
		}
		if !strings.Contains(w.Body.String(), "before") {
			t.Errorf("what came before the end did not pass: %q", w.Body)
		}
	}
}

func endIf(ends bool, s *stream) func() {
	return func() {
		if ends {
			s.end(verifier.CodeExpired)
		}
	}
}

// Over HTTP/2 and HTTP/3 the frames of a WebSocket are the body of the request (RFC 8441, RFC 9220).
func TestUpgradedBodyEndsWithItsSession(t *testing.T) {
	connect := httptest.NewRequest(http.MethodConnect, "/", nil)
	upgrade := httptest.NewRequest(http.MethodGet, "/", nil)
	upgrade.Header.Set("Upgrade", "connect-udp")
	for _, c := range []struct {
		name         string
		r            *http.Request
		ends, passes bool
	}{
		{"extended CONNECT", connect, true, false},
		{"extended CONNECT, and the session stands", connect, false, true},
		{"Upgrade", upgrade, true, false},
		{"an upload", httptest.NewRequest(http.MethodPost, "/", nil), true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s *stream
			c.r.Body = io.NopCloser(meanwhile{func() { endIf(c.ends, s)() }, "frames"})
			s, guarded := openStream(t, httptest.NewRecorder(), c.r, time.Now().Add(time.Hour))
			got, err := io.ReadAll(guarded.Body)
			if passes := string(got) == "frames" && err == nil; passes != c.passes {
				t.Errorf("the upstream gets %q, %v, want it to pass: %t", got, err, c.passes)
			}
			if !c.passes && (len(got) > 0 || !errors.Is(err, errStreamEnded)) {
				t.Errorf("the upstream gets %q, %v, want %v", got, err, errStreamEnded)
			}
		})
	}
}

// A hijackable is a response whose connection can be taken over, while something happens.
type hijackable struct {
	*httptest.ResponseRecorder
	conn    net.Conn
	happens func()
}

func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.happens()
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// Nobody would ever close a connection that is handed over at the moment of the end: whoever
// ends the stream knows nothing of it yet.
func TestConnectionIsNotHandedOverAtTheEnd(t *testing.T) {
	for _, ends := range []bool{false, true} {
		server, client := net.Pipe()
		t.Cleanup(func() { _, _ = server.Close(), client.Close() })
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Upgrade", "connect-udp")
		w := &hijackable{httptest.NewRecorder(), server, nil}
		s, _ := openStream(t, w, r, time.Now().Add(time.Hour))
		w.happens = endIf(ends, s)
		conn, _, err := s.Hijack()
		if errors.Is(err, errStreamEnded) != ends || (conn == nil) != ends {
			t.Errorf("the session ends: %t, and the proxy gets %v, %v", ends, conn, err)
		}
		if closed := server.SetDeadline(time.Now()) != nil; closed != ends {
			t.Errorf("the session ends: %t, and the connection is closed: %t", ends, closed)
		}
	}
}
