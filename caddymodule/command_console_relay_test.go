package caddymodule_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// answerRaw stands where the admin API is, and answers each connection with text as it
// is. Where it hangs it says no more and leaves the connection open until the test ends.
func answerRaw(t *testing.T, text string, hangs bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the test has ended
			}
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					return
				}
				_, _ = io.WriteString(conn, text)
				if hangs {
					<-t.Context().Done()
				}
			}()
		}
	}()
	return l.Addr().String()
}

const rawOK = "HTTP/1.1 200 OK\r\nConnection: close\r\n"

// Another program may have taken the port, and a Caddy may hang or be killed.
func TestConsoleSaysWhyNoCaddyAnswers(t *testing.T) {
	for _, test := range []struct {
		name, text string
		hangs      bool
		says       string
	}{
		{name: "nothing is said", hangs: true, says: "its answer is not here after 15s"},
		{name: "the answer stalls", text: rawOK + "Content-Length: 9\r\n\r\n[", hangs: true, says: "its answer is not here after 15s"},
		{name: "the answer is cut", text: rawOK + "Content-Length: 9\r\n\r\n[", says: "its answer breaks off"},
		{name: "the answer is too large", text: rawOK + "\r\n" + strings.Repeat(" ", 4<<20+1), says: "its answer is larger than 4194304 bytes"},
		{name: "the connection ends at once", says: "EOF"},
		{name: "another protocol", text: "SSH-2.0-OpenSSH_9.2\r\n", says: "malformed HTTP"},
		{name: "an upgrade", text: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nraw", hangs: true, says: "it answers with status 101"},
		{name: "no status", text: "HTTP/1.1 099 Nothing\r\n\r\n", says: "it answers with status 99"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			address := answerRaw(t, test.text, test.hangs)
			r := startConsole(t, "--address", address)
			ask := r.ask(t, http.MethodGet, "/byoa/health", "")
			ask.Header.Set("Connection", "Upgrade")
			ask.Header.Set("Upgrade", "raw")
			a := do(t, ask)
			if want := "no Caddy answers at " + address; a.status != http.StatusBadGateway || !strings.HasPrefix(a.error(t), want) || !strings.Contains(a.error(t), test.says) {
				t.Errorf("got %d %s, want 502 that says %q and %q", a.status, a.body, want, test.says)
			}
		})
	}
}

// All that a browser is told but for status and body, the console says.
func TestConsoleRelaysStatusAndBodyAlone(t *testing.T) {
	const chunked = "Transfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n\r\n2\r\n[]\r\n0\r\nX-Trailer: 1\r\n\r\n"
	plain := do(t, startConsole(t, "--address", answerRaw(t, rawOK+"\r\n[]", false)).ask(t, http.MethodGet, "/byoa/health", ""))
	if plain.status != http.StatusOK || plain.body != "[]" || plain.header.Get("Content-Type") != "application/json" {
		t.Fatalf("got %d %q as %q, want [] as application/json", plain.status, plain.body, plain.header.Get("Content-Type"))
	}
	names := slices.Sorted(maps.Keys(plain.header))
	for name, text := range map[string]string{
		"early hints":  "HTTP/1.1 103 Early Hints\r\nSet-Cookie: a=b\r\nLink: </x>; rel=preload\r\n\r\n" + rawOK + "\r\n[]",
		"headers":      rawOK + "Set-Cookie: a=b\r\nContent-Security-Policy: x\r\nClear-Site-Data: *\r\n\r\n[]",
		"another type": rawOK + "Content-Type: text/html\r\n\r\n[]",
		"trailers":     rawOK + chunked,
		"a redirect":   "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n[]",
	} {
		t.Run(name, func(t *testing.T) {
			c := startConsole(t, "--address", answerRaw(t, text, false))
			a := do(t, c.ask(t, http.MethodGet, "/byoa/health", ""))
			if got := slices.Sorted(maps.Keys(a.header)); !slices.Equal(got, names) || a.body != "[]" {
				t.Errorf("the browser got %q and %q, want [] and %q", a.body, got, names)
			}
			for _, name := range []string{"Content-Type", "Content-Security-Policy", "X-Frame-Options"} {
				if got, want := a.header[name], plain.header[name]; fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// What is pasted for an ID may be a token, and Caddy logs the paths that it is asked for.
func TestConsoleRelaysIDsAlone(t *testing.T) {
	const id, other = "15ccfb32-c86d-8f40-9289-1485073e2a32", "7e0bd4a5-9c3f-4a7e-8d53-3f6a7b1f8c11"
	const jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VyLTEifQ.c2lnbmF0dXJl"
	admin := recordAdminAt(t, "tcp", "127.0.0.1:0")
	c := startConsole(t, "--address", admin.address())
	for _, test := range []struct {
		name, path string
		passes     bool
	}{
		{"an external JWT's session", "/byoa/sessions/" + id, true},
		{"a session that was started", "/byoa/sessions/" + id + "." + other, true},
		{"a user", "/byoa/users/" + id + "/sessions", true},
		{"a JWT for a session", "/byoa/sessions/" + jwt, false},
		{"a JWT for a user", "/byoa/users/" + jwt + "/sessions", false},
		{"upper case", "/byoa/sessions/" + strings.ToUpper(id), false},
		{"without hyphens", "/byoa/sessions/" + strings.ReplaceAll(id, "-", ""), false},
		{"three parts", "/byoa/sessions/" + id + "." + other + "." + other, false},
		{"a dot and no more", "/byoa/sessions/" + id + ".", false},
		{"a line behind it", "/byoa/sessions/" + id + "%0A", false},
		{"a user with two parts", "/byoa/users/" + id + "." + other + "/sessions", false},
		{"a name of the login system", "/byoa/users/auth0%7Ca%2Fb/sessions", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := do(t, c.ask(t, http.MethodDelete, test.path, ""))
			seen := admin.take()
			switch {
			case test.passes && (a.status != http.StatusConflict || len(seen) != 1):
				t.Errorf("got %d %s, want it relayed", a.status, a.body)
			case !test.passes && (a.status != http.StatusBadRequest || len(seen) > 0):
				t.Errorf("got %d %s, and the admin API %+v, want 400 and nothing", a.status, a.body, seen)
			case !test.passes && strings.Contains(a.error(t), test.path[len("/byoa/users/"):]):
				t.Errorf("the refusal %s repeats what was no ID", a.body)
			}
		})
	}
}
