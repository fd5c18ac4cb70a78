package e2e_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A request is what a client sends. The methods that add to it return a changed copy.
type request struct {
	method, path, body string
	lines              [][2]string // header lines, in order, names exactly as given
}

func get(path string) request { return request{method: http.MethodGet, path: path} }

func post(path string) request { return request{method: http.MethodPost, path: path} }

func postJSON(path string, body claims) request {
	text, _ := json.Marshal(body)
	r := post(path).header("Content-Type", "application/json")
	r.body = string(text)
	return r
}

func (r request) header(name, value string) request {
	r.lines = append(slices.Clone(r.lines), [2]string{name, value})
	return r
}

func (r request) cookies(value string) request { return r.header("Cookie", value) }

func (r request) bearer(token string) request { return r.header("Authorization", "Bearer "+token) }

func (r request) assertion(token string) request { return r.header("X-Step-Up-Assertion", token) }

func (r request) elevated(token string) request {
	return r.header("X-Dyn-Elevated-Access-Token", token)
}

// bytes is the request on the wire. Written by hand, because a library would tidy up
// what an attacker would not.
func (r request) bytes(host, number string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n%s: %s\r\n", r.method, r.path, host, numberHeader, number)
	for _, line := range r.lines {
		fmt.Fprintf(&b, "%s: %s\r\n", line[0], line[1])
	}
	if r.body != "" || r.method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	b.WriteString("\r\n" + r.body)
	return []byte(b.String())
}

// An answer is what came back, and what the upstream got of the request.
type answer struct {
	status   int
	header   http.Header
	body     string
	upstream *seen // nil: it never got there
}

// field returns a member of the JSON body.
func (a *answer) field(name string) any {
	var body claims
	_ = json.Unmarshal([]byte(a.body), &body)
	return body[name]
}

// text returns a member of the JSON body that is a string.
func (a *answer) text(name string) string {
	s, _ := a.field(name).(string)
	return s
}

func (a *answer) String() string {
	return fmt.Sprintf("%d %s", a.status, a.body)
}

// mustPass fails the test unless the request reached the upstream and was answered by it.
func (a *answer) mustPass(t testing.TB) *answer {
	t.Helper()
	if a.status != http.StatusOK || a.upstream == nil {
		t.Fatalf("got %v, want the upstream's 200", a)
	}
	return a
}

// mustRefuse fails the test unless the gateway itself refused with that status and
// code, in the form that every refusal has.
func (a *answer) mustRefuse(t testing.TB, status int, code string) *answer {
	t.Helper()
	if a.upstream != nil {
		t.Fatalf("the request reached the upstream, want %s", code)
	}
	if a.status != status || a.text("code") != code {
		t.Fatalf("got %v, want %d with code %s", a, status, code)
	}
	if a.text("error") == "" {
		t.Errorf("got %v, want an error in words", a)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %s is %q, want %q", code, name, got, want)
		}
	}
	a.mustChallenge(t, code)
	return a
}

// mustChallenge holds WWW-Authenticate against RFC 6750 section 3 and RFC 9470.
func (a *answer) mustChallenge(t testing.TB, code string) {
	t.Helper()
	challenge := a.header.Get("WWW-Authenticate")
	switch {
	case a.status != http.StatusUnauthorized && a.status != http.StatusForbidden:
	case !strings.HasPrefix(challenge, "Bearer"):
		t.Errorf("%s: WWW-Authenticate is %q, want a Bearer challenge", code, challenge)
	case code == "token_missing":
		if strings.Contains(challenge, "error=") {
			t.Errorf("%s: WWW-Authenticate is %q; no token came, so none is in error", code, challenge)
		}
	case !strings.Contains(challenge, challengeError(a.status, code)):
		t.Errorf("%s: WWW-Authenticate is %q, want %s in it", code, challenge, challengeError(a.status, code))
	case a.text("scope") != "" && !strings.Contains(challenge, fmt.Sprintf("scope=%q", a.text("scope"))):
		t.Errorf("%s: WWW-Authenticate is %q, want the scopes of the body, %q", code, challenge, a.text("scope"))
	}
}

// challengeError is the error parameter that goes with a code, or nothing where none is laid down.
func challengeError(status int, code string) string {
	switch {
	case code == "reauthentication_required":
		return `error="insufficient_user_authentication"`
	case status == http.StatusUnauthorized:
		return `error="invalid_token"`
	case code == "step_up_required", strings.HasPrefix(code, "elevated_"):
		return `error="insufficient_scope"`
	default:
		return ""
	}
}

// send sends a request on a connection of its own and waits for the answer.
func (g *gateway) send(t testing.TB, r request) *answer {
	t.Helper()
	a, err := g.try(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return a
}

// try is send for other goroutines than the test's.
func (g *gateway) try(r request) (*answer, error) {
	conn, number, err := g.open(r)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: r.method})
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	a := &answer{status: res.StatusCode, header: res.Header, body: string(body)}
	g.secrets.judge(r.path, a)
	a.upstream = g.upstream.numbered(number)
	return a, nil
}

// open connects and sends a request; the answer is for the caller to read.
func (g *gateway) open(r request) (net.Conn, string, error) {
	g.secrets.learnRequest(r)
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		return nil, "", err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	number := fmt.Sprint(g.number.Add(1))
	if _, err := conn.Write(r.bytes(cmp.Or(g.host, g.address), number)); err != nil {
		conn.Close()
		return nil, "", err
	}
	return conn, number, nil
}
