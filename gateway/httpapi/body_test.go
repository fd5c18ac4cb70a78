package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// watchedStore counts what is written.
type watchedStore struct {
	gateway.Store
	writes atomic.Int32
}

func (w *watchedStore) Use(ctx context.Context, key string, until time.Time) error {
	w.writes.Add(1)
	return w.Store.Use(ctx, key, until)
}

func (w *watchedStore) Revoke(ctx context.Context, r gateway.Revocation) error {
	w.writes.Add(1)
	return w.Store.Revoke(ctx, r)
}

func (w *watchedStore) Visit(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
	w.writes.Add(1)
	return w.Store.Visit(ctx, by, at)
}

func (w *watchedStore) Link(ctx context.Context, l gateway.Link) (gateway.User, error) {
	w.writes.Add(1)
	return w.Store.Link(ctx, l)
}

// watched has c write to w.
func (w *watchedStore) watched(c *gateway.Config) { w.Store, c.Store = c.Store, w }

// withBodies are the endpoints that read one, and one that each of them takes.
func (s *site) withBodies() map[string]string {
	return map[string]string{
		"/externalAuth/signin": `{"jwt":"` + s.external("alice") + `"}`,
		"/externalAuth/verify": `{"jwt":"` + s.issuer.Assertion("alice", "wallet:export", nil) + `"}`,
		"/stepUp/check":        `{"scope":"wallet:export"}`,
		"/sdkSettings":         `{"jwt":"","scope":""}`,
	}
}

// padded is good with a member added that makes it size bytes long.
func padded(good string, size int) string {
	start := `{"padding":"`
	end := `",` + good[1:]
	return start + strings.Repeat("a", size-len(start)-len(end)) + end
}

// Every endpoint that reads a body refuses what is none, in the shape of all other errors, and does nothing.
func TestBadBodies(t *testing.T) {
	var store watchedStore
	s := newSite(t, httpapi.Options{}, store.watched)
	token := s.signIn("alice")
	written := store.writes.Load()
	for path, good := range s.withBodies() {
		for name, c := range map[string]call{
			"not JSON":                {body: "jwt=x"},
			"empty":                   {body: ""},
			"null":                    {body: "null"},
			"an array":                {body: "[" + good + "]"},
			"text":                    {body: `"jwt"`},
			"two objects":             {body: good + good},
			"something after the end": {body: good + "x"},
			"cut short":               {body: good[:len(good)-1]},
			"a comment":               {body: "/**/" + good},
			"single quotes":           {body: `{'jwt':'x'}`},
			"a byte order mark":       {body: "\xef\xbb\xbf" + good},
			"UTF-16":                  {body: "{\x00}\x00"},
			"text that is no UTF-8":   {body: `{"other":"` + "\xff" + `",` + good[1:]},
			"half a surrogate pair":   {body: `{"other":"\ud800",` + good[1:]},
			"a member twice":          {body: `{"jwt":"x","scope":"x",` + good[1:]},
			"an unknown member twice": {body: `{"other":1,"other":1,` + good[1:]},
			"twice, deep inside":      {body: `{"other":[{"a":{"b":1,"b":2}}],` + good[1:]},
			"twice, once in disguise": {body: `{"\u006awt":"x","sc\u006fpe":"x",` + good[1:]},
			"nested without end":      {body: `{"other":` + strings.Repeat("[", 60<<10)},
			"text/plain":              {body: good, contentType: "text/plain"},
			"a form":                  {body: "jwt=x", contentType: "application/x-www-form-urlencoded"},
			"no content type":         {body: good, contentType: "none"},
			"a broken content type":   {body: good, contentType: "application/json; charset"},
			"another +json":           {body: good, contentType: "application/problem+json"},
			"larger than 64 KiB":      {body: padded(good, 64<<10+1)},
		} {
			c.path, c.bearer = path, token
			t.Run(path+" "+name, func(t *testing.T) {
				s.do(c).want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
			})
		}
	}
	if n := store.writes.Load() - written; n != 0 {
		t.Errorf("%d things were stored", n)
	}
}

// Types are held to where a member means something.
func TestMembersOfOtherTypes(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	token := s.signIn("alice")
	for path, member := range map[string]string{"/externalAuth/signin": "jwt", "/externalAuth/verify": "jwt", "/stepUp/check": "scope"} {
		for _, value := range []string{"1", "true", `["x"]`, `{"x":"y"}`} {
			s.do(call{path: path, bearer: token, body: `{"` + member + `":` + value + `}`}).
				want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
		}
	}
}

// The controls of the above: what an SDK may send, now or in its next version.
func TestGoodBodies(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	token := s.signIn("alice")
	for name, dress := range map[string]func(good string) call{
		"as it is":               func(good string) call { return call{body: good} },
		"unknown members":        func(good string) call { return call{body: `{"other":{"a":[null,1e3,"\u0000"]},` + good[1:]} },
		"white space":            func(good string) call { return call{body: " \t\r\n" + good + "\n "} },
		"in other letter case":   func(good string) call { return call{body: `{"JWT":1,"Jwt":"x","SCOPE":[],` + good[1:]} },
		"exactly 64 KiB":         func(good string) call { return call{body: padded(good, 64<<10)} },
		"with its charset":       func(good string) call { return call{body: good, contentType: `application/json; charset="utf-8"`} },
		"the type in capitals":   func(good string) call { return call{body: good, contentType: "Application/JSON"} },
		"names that are spelled": func(good string) call { return call{body: strings.NewReplacer(`"jwt"`, `"\u006awt"`).Replace(good)} },
	} {
		for path, good := range s.withBodies() { // an assertion serves once
			c := dress(good)
			c.path, c.bearer = path, token
			if a := s.do(c); a.status != http.StatusOK && a.status != http.StatusNoContent {
				t.Errorf("%s, %s: %d %s", path, name, a.status, a.raw)
			}
		}
	}
}

// brokenBody ends in an error, as that of a client does who goes away.
type brokenBody struct{ io.Reader }

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("connection reset")
	}
	return n, err
}

// What came is a whole object, and yet the client had more to say: nothing is done on half a word.
func TestBodyThatBreaksOff(t *testing.T) {
	var store watchedStore
	s := newSite(t, httpapi.Options{}, store.watched)
	r := httptest.NewRequest(http.MethodPost, "/externalAuth/signin", brokenBody{strings.NewReader(s.withBodies()["/externalAuth/signin"])})
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || store.writes.Load() != 0 {
		t.Errorf("%d, and %d things were stored; want 400 and none", w.Code, store.writes.Load())
	}
}

// A client that is still sending when its body is refused must read the answer, and not that
// its connection was reset. Were the rest of its body left unread, the server would close the connection.
func TestAnswerToALargeBodyArrives(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	server := httptest.NewServer(s.api)
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil { // rather than wait for ever
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	for _, c := range []struct {
		body string
		want int
	}{
		{padded(`{"a":1}`, 200<<10), http.StatusBadRequest},
		{`{}`, http.StatusNoContent}, // on the same connection
	} {
		_, err := fmt.Fprintf(conn, "POST /sdkSettings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(c.body), c.body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("no answer to a body of %d bytes: %v", len(c.body), err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if r.StatusCode != c.want || r.Close {
			t.Fatalf("%d bytes: %d, and the server closes the connection: %t; want %d and an open one", len(c.body), r.StatusCode, r.Close, c.want)
		}
	}
}

// A client that sends until it is done, and has asked for the connection to be closed, gets
// a reset instead of the answer unless what it sends is read. What never ends is not read to its end.
func TestTooLargeBodyOfAClientThatCloses(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	for size, wholly := range map[int]bool{70 << 10: true, 300 << 10: true, 4 << 20: false} {
		body := strings.NewReader(padded(`{"jwt":"x"}`, size))
		r := httptest.NewRequest(http.MethodPost, "/sdkSettings", body)
		r.Header.Set("Content-Type", "application/json")
		r.Close = true
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || (body.Len() == 0) != wholly {
			t.Errorf("%d bytes: answered %d, and %d are left unread; want 400, all read: %t", size, w.Code, body.Len(), wholly)
		}
	}
}
