package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// `default session` is for the routes nobody thought of. An upstream that takes a method it does
// not know for a GET, or for the only one that it has, serves with it what has a line of its own.
func TestUnknownMethodIsNotLeftToTheDefaultBesideALine(t *testing.T) {
	table := tableOf(t, "session", `
		POST /export wallet:export
		/any         -
		LOCK /locked wallet:lock
	`)
	for _, c := range []struct{ method, path, want string }{
		{"FOO", "/export", "deny"},
		{"foo", "/Export/", "deny"},
		{"TRACE", "/export", "deny"},
		{"CONNECT", "/export", "deny"},
		{"FOO", "/a%2f..%2f..%2fexport", "deny"}, // for an upstream that decodes first
		{"GET", "/locked", "-"},
		{"UNLOCK", "/locked", "deny"},
		{"PUT", "/export", "-"},               // ordinary: the default decides
		{"PUT", "/a%2f..%2f..%2fexport", "-"}, // as there
		{"POST", "/export", "wallet:export"},  // a line of its own
		{"LOCK", "/locked", "wallet:lock"},    // however unusual
		{"FOO", "/any", "-"},                  // a line for any
		{"FOO", "/elsewhere", "-"},            // no line at all
		{"FOO", "/a%2f..%2f..%2felse", "-"},   // nor for the other reading
		{"FOO", "/export/elsewhere", "-"},
	} {
		if got := table.lookup(c.method, c.path).String(); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.path, got, c.want)
		}
	}
	if got := tableOf(t, "deny", "POST /export -").lookup("FOO", "/elsewhere").String(); got != "deny" {
		t.Errorf("default deny: %s", got)
	}
}

// HEAD falls back to the line for GET where it has none of its own, and to nothing else: whoever
// closed HEAD would have it answered under the GET beside it, and whoever opened it, GET too.
func TestHEADIsNotTheGETBesideIt(t *testing.T) {
	table := tableOf(t, "deny", `
		GET  /a -
		HEAD /a deny
		HEAD /b -
		GET  /c -
	`)
	for _, c := range []struct{ method, path, want string }{
		{"HEAD", "/a", "deny"},
		{"GET", "/a", "-"},
		{"GET", "/b", "deny"},
		{"HEAD", "/b", "-"},
		{"HEAD", "/c", "-"}, // no line of its own
		{"GET", "/c", "-"},
	} {
		if got := table.lookup(c.method, c.path).String(); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.path, got, c.want)
		}
	}
}

// Only a WebSocket's CONNECT becomes a GET on its way. Any other reaches an upstream as it is, which would
// serve a tunnel under the line that somebody wrote for reading; and one of HTTP/2 is no less a WebSocket
// than one of HTTP/3: `default session` would let it past the line for GET.
func TestNoOtherConnectIsUnderTheRuleOfAGET(t *testing.T) {
	connect := func(major int, protocol string) *http.Request {
		r := httptest.NewRequest(http.MethodConnect, "/stream", nil)
		r.ProtoMajor = major
		switch {
		case major == 2 && protocol != "":
			r.Header.Set(":protocol", protocol)
		case protocol != "":
			r.Proto = protocol
		}
		r.URL = &url.URL{Path: "/stream"}
		return r
	}
	guard := &StepUp{needs: needs{table: tableOf(t, "session", "GET /stream stream")}}
	for _, c := range []struct {
		major    int
		protocol string
		want     string
	}{
		{2, "websocket", "stream"},
		{2, "connect-udp", "deny"},
		{2, "", "deny"},
		{3, "websocket", "stream"},
		{3, "connect-udp", "deny"},
		{3, "", "deny"},
	} {
		need, deny := guard.of(connect(c.major, c.protocol))
		if got := (rule{deny: deny, scopes: need.Scopes}).String(); got != c.want {
			t.Errorf("CONNECT of %q over HTTP/%d: %s, want %s", c.protocol, c.major, got, c.want)
		}
	}
}
