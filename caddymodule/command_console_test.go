package caddymodule_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

// consoleRun is `caddy byoa console`, which ends with the test.
type consoleRun struct {
	cmd       *exec.Cmd
	authority string // host:port that it printed
	stderr    *bytes.Buffer
	rest      io.Reader
}

var consoleLine = regexp.MustCompile(`^http://(127\.0\.0\.1:\d+)/\n$`)

// startConsole returns when the console has printed its address.
func startConsole(t *testing.T, flags ...string) *consoleRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	c := &consoleRun{stderr: new(bytes.Buffer)}
	c.cmd = exec.CommandContext(ctx, "caddy", append([]string{"byoa", "console", "--listen=127.0.0.1:0"}, flags...)...)
	c.cmd.Stderr = c.stderr
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.cmd.Wait()
	})
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	m := consoleLine.FindStringSubmatch(line)
	if m == nil {
		_ = c.cmd.Wait()
		t.Fatalf("the console printed %q, %v, want one address\n%s", line, err, c.stderr)
	}
	c.authority, c.rest = m[1], lines
	return c
}

// ask is a request as the script of the page sends it.
func (c *consoleRun) ask(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+c.authority+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("X-Byoa-Console", "1")
	if method != http.MethodGet {
		r.Header.Set("Origin", "http://"+c.authority)
	}
	return r
}

// consoleAnswer is what came back.
type consoleAnswer struct {
	status int
	header http.Header
	body   string
}

func do(t *testing.T, r *http.Request) consoleAnswer {
	t.Helper()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return consoleAnswer{resp.StatusCode, resp.Header, string(body)}
}

// error is the message of a refusal, in the form of Caddy's admin API.
func (a consoleAnswer) error(t *testing.T) string {
	t.Helper()
	var e struct{ Error string }
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || e.Error == "" {
		t.Errorf("%d %q is no error in the form of the admin API: %v", a.status, a.body, err)
	}
	return e.Error
}

// adminRecord stands where the admin API is, and writes down what gets there. What the
// real one answers to the page is tested with the built binary, in a browser.
type adminRecord struct {
	server *httptest.Server
	mu     sync.Mutex // guards seen
	seen   []adminRequest
}

type adminRequest struct {
	method, target, host, body string
	header                     http.Header
}

func recordAdmin(t *testing.T, l net.Listener) *adminRecord {
	t.Helper()
	a := new(adminRecord)
	a.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: a, ReadHeaderTimeout: time.Minute}}
	a.server.Start()
	t.Cleanup(a.server.Close)
	return a
}

func recordAdminAt(t *testing.T, network, address string) *adminRecord {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return recordAdmin(t, l)
}

func (a *adminRecord) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.seen = append(a.seen, adminRequest{r.Method, r.RequestURI, r.Host, string(body), r.Header.Clone()})
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Set-Cookie", "a=b")
	w.WriteHeader(http.StatusConflict)
	_, _ = io.WriteString(w, `{"error":"from the admin API"}`)
}

// take returns what got there since it was last asked.
func (a *adminRecord) take() []adminRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = nil
	return seen
}

func (a *adminRecord) address() string { return a.server.Listener.Addr().String() }

func TestConsoleRelaysWhatItsPageNeeds(t *testing.T) {
	admin := recordAdminAt(t, "tcp", "127.0.0.1:0")
	c := startConsole(t, "--address", admin.address())
	for _, route := range []string{
		"GET /byoa/environments",
		"GET /byoa/health",
		"GET /byoa/environments/production/decisions",
		"POST /byoa/environments/production/check",
		"POST /byoa/environments/production/disable",
		"POST /byoa/environments/production/enable",
		"POST /byoa/environments/production/keys/rotate",
		"DELETE /byoa/sessions/15ccfb32-c86d-8f40-9289-1485073e2a32",
		"DELETE /byoa/sessions/15ccfb32-c86d-8f40-9289-1485073e2a32.7e0bd4a5-9c3f-4a7e-8d53-3f6a7b1f8c11",
		"DELETE /byoa/users/0d6c4b1e-92a4-5c3e-9b7e-6f1f3a1f7a10/sessions",
		"GET /byoa/environments/a%2Fb%7C/decisions",
	} {
		t.Run(route, func(t *testing.T) {
			method, path, _ := strings.Cut(route, " ")
			r := c.ask(t, method, path+"?query=1", "")
			r.Header.Set("Cookie", "of=another-site-on-127.0.0.1")
			r.Header.Set("Authorization", "Bearer of-the-browser")
			a := do(t, r)
			if a.status != http.StatusConflict || a.error(t) != "from the admin API" {
				t.Errorf("got %d %s, want the answer of the admin API", a.status, a.body)
			}
			for _, name := range []string{"Access-Control-Allow-Origin", "Set-Cookie"} {
				if a.header.Get(name) != "" {
					t.Errorf("the browser got %s of the admin API", name)
				}
			}
			seen := admin.take()
			if len(seen) != 1 || seen[0].method != method || seen[0].target != path {
				t.Fatalf("the admin API got %+v, want one request, %s without the query", seen, route)
			}
			seen[0].mustBeOfTheConsole(t, admin.address())
		})
	}
}

// mustBeOfTheConsole wants nothing of the browser in it, and what Caddy's own commands send.
func (r adminRequest) mustBeOfTheConsole(t *testing.T, admin string) {
	t.Helper()
	for _, name := range []string{"Cookie", "Authorization", "Sec-Fetch-Site", "Referer", "X-Byoa-Console", "X-Forwarded-For"} {
		if got := r.header.Get(name); got != "" {
			t.Errorf("the admin API got %s: %s", name, got)
		}
	}
	if got, want := r.header.Get("Origin"), "http://"+admin; got != want || r.host != admin {
		t.Errorf("the admin API got the origin %q and the host %q, want its own, %s", got, r.host, want)
	}
}

func TestConsoleRelaysNothingElse(t *testing.T) {
	admin := recordAdminAt(t, "tcp", "127.0.0.1:0")
	c := startConsole(t, "--address", admin.address())
	for _, route := range []string{
		"GET /config/", "GET /config/apps/byoa", "POST /load", "POST /stop", "POST /adapt", "GET /metrics", "GET /debug/pprof/",
		"POST /byoa/load", "GET /byoa/", "GET /byoa/environments/", "POST /byoa/environments", "DELETE /byoa/environments/production",
		"GET /byoa/environments/production/disable", "GET /byoa/environments/production/keys/rotate",
		"DELETE /byoa/environments/production/check", "GET /byoa/sessions/1", "POST /byoa/users/1/sessions", "DELETE /byoa/users/1",
		"POST /byoa/../stop", "POST /byoa/environments/../../stop", "POST /byoa/%2e%2e/stop", "POST //stop",
		"DELETE /byoa/sessions/%2e%2e", "DELETE /byoa/users/%2E%2E/sessions", "POST /byoa/environments/%2e/check",
		"CONNECT /byoa/health", "OPTIONS /byoa/health",
	} {
		t.Run(route, func(t *testing.T) {
			method, path, _ := strings.Cut(route, " ")
			r := c.ask(t, method, "/", "")
			r.URL.Opaque = path // as it is: the client would tidy it up
			if a := do(t, r); a.status < 300 {
				t.Errorf("got %d %s, want a refusal", a.status, a.body)
			}
			if seen := admin.take(); len(seen) > 0 {
				t.Errorf("the admin API got %+v, want nothing", seen)
			}
		})
	}
	do(t, c.ask(t, http.MethodGet, "/byoa/health", ""))
	if seen := admin.take(); len(seen) != 1 {
		t.Errorf("the admin API got %+v of a route that is relayed, want one request", seen)
	}
}

func TestConsoleAnswersItsOwnPageAlone(t *testing.T) {
	admin := recordAdminAt(t, "tcp", "127.0.0.1:0")
	c := startConsole(t, "--address", admin.address())
	_, port, _ := net.SplitHostPort(c.authority)
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	drop := func(name string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(name) } }
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		passes bool
	}{
		{name: "the page's own", change: func(*http.Request) {}, passes: true},
		{name: "a name that resolves to loopback", change: host("rebound.example:" + port)},
		{name: "a name that ends like it", change: host("127.0.0.1.example:" + port)},
		{name: "localhost", change: host("localhost:" + port)},
		{name: "another port", change: host("127.0.0.1:1")},
		{name: "no port", change: host("127.0.0.1")},
		{name: "of another site", change: set("Sec-Fetch-Site", "cross-site")},
		{name: "of another port of this host", change: set("Sec-Fetch-Site", "same-site")},
		{name: "typed into the address bar", change: set("Sec-Fetch-Site", "none")},
		{name: "another origin", change: set("Origin", "https://evil.example")},
		{name: "an opaque origin", change: set("Origin", "null")},
		{name: "the origin with https", change: set("Origin", "https://"+c.authority)},
		{name: "a browser that sends Origin alone", change: drop("Sec-Fetch-Site"), passes: true},
		{name: "a browser that sends Sec-Fetch-Site alone", change: drop("Origin"), passes: true},
		{name: "nothing says where it is from", change: func(r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Del("Origin")
		}},
		{name: "without the header of the script", change: drop("X-Byoa-Console")},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := c.ask(t, http.MethodPost, "/byoa/environments/production/disable", "")
			test.change(r)
			a := do(t, r)
			seen := admin.take()
			switch {
			case test.passes && (a.status != http.StatusConflict || len(seen) != 1):
				t.Errorf("got %d %s, want it relayed", a.status, a.body)
			case !test.passes && (a.status != http.StatusForbidden || len(seen) > 0):
				t.Errorf("got %d %s, and the admin API %+v, want 403 and nothing", a.status, a.body, seen)
			case !test.passes:
				a.error(t)
			}
		})
	}
	t.Run("reading is guarded too", func(t *testing.T) {
		r := c.ask(t, http.MethodGet, "/byoa/environments", "")
		r.Header.Del("X-Byoa-Console")
		if a := do(t, r); a.status != http.StatusForbidden || len(admin.take()) > 0 {
			t.Errorf("got %d, want 403 and nothing relayed", a.status)
		}
	})
	t.Run("the page under another name", func(t *testing.T) {
		r := c.ask(t, http.MethodGet, "/", "")
		r.Host = "rebound.example:" + port
		if a := do(t, r); a.status != http.StatusForbidden || strings.Contains(a.body, "<") {
			t.Errorf("got %d %s, want 403 and no page", a.status, a.body)
		}
	})
}

func TestConsoleBoundsRequestBodies(t *testing.T) {
	admin := recordAdminAt(t, "tcp", "127.0.0.1:0")
	c := startConsole(t, "--address", admin.address())
	const check = "/byoa/environments/production/check"
	body := `{"encodedJwt":"` + strings.Repeat("x", 2<<20) + `"}`
	do(t, c.ask(t, http.MethodPost, check, body))
	if seen := admin.take(); len(seen) != 1 || seen[0].body != body {
		t.Errorf("the largest token there can be was not relayed")
	}
	tooLarge := strings.Repeat("x", 2<<20+8<<10)
	for name, size := range map[string]int64{"that says how long it is": int64(len(tooLarge)), "that does not": -1} {
		t.Run("a body "+name, func(t *testing.T) {
			r := c.ask(t, http.MethodPost, check, tooLarge)
			r.ContentLength = size
			if a := do(t, r); a.status != http.StatusRequestEntityTooLarge {
				t.Errorf("got %d %s, want 413", a.status, a.body)
			}
			if seen := admin.take(); len(seen) > 0 {
				t.Errorf("the admin API got %d bytes of it, want nothing", len(seen[0].body))
			}
		})
	}
}

func TestConsoleWaitsForACaddyThatIsNotThere(t *testing.T) {
	address := freeport.Address(t)
	c := startConsole(t, "--address", address)
	a := do(t, c.ask(t, http.MethodGet, "/byoa/environments", ""))
	if a.status != http.StatusBadGateway || !strings.Contains(a.error(t), "no Caddy answers at "+address) {
		t.Errorf("got %d %s, want 502 that says where no Caddy answers", a.status, a.body)
	}
	recordAdminAt(t, "tcp", address)
	if a := do(t, c.ask(t, http.MethodGet, "/byoa/environments", "")); a.status != http.StatusConflict {
		t.Errorf("got %d %s from an admin API that came later, want its answer", a.status, a.body)
	}
}

func TestConsoleFindsTheAdminAPIAsCaddyDoes(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "admin.sock")
	onSocket, onPort := recordAdminAt(t, "unix", socket), recordAdminAt(t, "tcp", "127.0.0.1:0")
	caddyfile := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(caddyfile, []byte("{\n\tadmin "+onPort.address()+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		flags []string
		admin *adminRecord
		host  string
	}{
		{"a socket", []string{"--address", "unix/" + socket}, onSocket, "127.0.0.1"},
		{"a socket with permissions", []string{"--address", "unix/" + socket + "|0200"}, onSocket, "127.0.0.1"},
		{"the address in a config", []string{"--config", caddyfile}, onPort, onPort.address()},
		{"a flag before the config", []string{"--config", caddyfile, "--address", "unix/" + socket}, onSocket, "127.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := startConsole(t, test.flags...)
			if a := do(t, c.ask(t, http.MethodGet, "/byoa/health", "")); a.status != http.StatusConflict {
				t.Errorf("got %d %s, want the answer of the admin API", a.status, a.body)
			}
			if seen := test.admin.take(); len(seen) != 1 || seen[0].host != test.host {
				t.Errorf("the admin API got %+v, want one request to %s", seen, test.host)
			}
		})
	}
}

func TestConsolePrintsItsAddressAndEnds(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			c := startConsole(t, "--address", freeport.Address(t))
			if a := do(t, c.ask(t, http.MethodGet, "/", "")); a.status != http.StatusOK {
				t.Errorf("the page: %d", a.status)
			}
			if err := c.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(c.rest); err != nil || len(rest) > 0 {
				t.Errorf("printed after its address: %q, %v", rest, err)
			}
			if err := c.cmd.Wait(); err != nil || c.stderr.Len() > 0 {
				t.Errorf("after %s: %v, and on standard error %q, want neither", sig, err, c.stderr)
			}
		})
	}
}
