package caddymodule_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

// demoRun is `caddy byoa demo`, which ends with the test.
type demoRun struct {
	cmd     *exec.Cmd
	printed string // what it printed by the time it was ready
	stderr  *bytes.Buffer
	rest    io.Reader
}

// startDemo returns when the demo has printed its last line.
func startDemo(t *testing.T, tmp string, flags ...string) *demoRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	args := append([]string{"byoa", "demo", "--port=0", "--login-port=0", "--upstream-port=0"}, flags...)
	d := &demoRun{cmd: exec.CommandContext(ctx, "caddy", args...), stderr: new(bytes.Buffer)}
	d.cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "HOME="+filepath.Join(tmp, "no-home"))
	d.cmd.Stderr = d.stderr
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	for !strings.HasSuffix(d.printed, "ends the demo.\n") {
		line, err := lines.ReadString('\n')
		d.printed += line
		if err != nil {
			_ = d.cmd.Wait()
			t.Fatalf("the demo ended early: %v\n%s%s", err, d.printed, d.stderr)
		}
	}
	d.rest = lines
	return d
}

// end sends the signal, and wants a clean exit with nothing more to say.
func (d *demoRun) end(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(d.rest)
	if err != nil || len(rest) > 0 {
		t.Errorf("printed after its last line: %q, %v", rest, err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("after %s: %v\n%s", sig, err, d.stderr)
	}
}

// printedStop is one stop of the tour as a reader sees it: what it promises, and the lines to copy.
type printedStop struct {
	status, code string // of the title; empty where it promises no answer
	lines        []string
}

var title = regexp.MustCompile(`^\d+\. .*?(?:: (\d{3})(?: (\w+))?)?$`)

func (d *demoRun) stops() []printedStop {
	var stops []printedStop
	for line := range strings.Lines(d.printed) {
		line = strings.TrimSuffix(line, "\n")
		if m := title.FindStringSubmatch(line); m != nil {
			stops = append(stops, printedStop{status: m[1], code: m[2]})
		}
		if copied, ok := strings.CutPrefix(line, "    "); ok {
			last := &stops[len(stops)-1]
			last.lines = append(last.lines, copied)
		}
	}
	return stops
}

const stopMark = "----- next stop -----"

// walk feeds the lines to a shell as if they were copied into it, and returns what was printed at each stop.
func (d *demoRun) walk(t *testing.T, shell string) []string {
	t.Helper()
	var script strings.Builder
	for _, s := range d.stops() {
		script.WriteString(strings.Join(s.lines, "\n") + "\necho\necho '" + stopMark + "'\n")
	}
	cmd := exec.CommandContext(t.Context(), shell)
	cmd.Stdin = strings.NewReader(script.String())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", shell, err, out.String(), errs.String())
	}
	return strings.Split(strings.TrimSuffix(out.String(), stopMark+"\n"), stopMark+"\n")
}

var statusLine = regexp.MustCompile(`(?m)^HTTP/[0-9.]+ (\d{3})`)

// The lines that the demo prints are the lines that run here, and each title keeps its promise.
func TestDemoLinesShowWhatTheyPromise(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	d := startDemo(t, t.TempDir(), "--data", data)
	wants := []printedStop{
		{status: "401", code: "token_missing"},
		{status: "200"},
		{status: "403", code: "step_up_required"},
		{},
		{status: "200"},
		{status: "403", code: "elevated_used"},
		{status: "200"},
	}
	for i, s := range d.stops() {
		if s.status != wants[i].status || s.code != wants[i].code {
			t.Errorf("stop %d promises %q %q, want %q %q", i+1, s.status, s.code, wants[i].status, wants[i].code)
		}
	}
	for _, shell := range []string{"sh", "bash"} {
		t.Run(shell, func(t *testing.T) {
			outputs := d.walk(t, shell)
			if len(outputs) != len(wants) {
				t.Fatalf("%d stops printed something, want %d\n%s", len(outputs), len(wants), outputs)
			}
			for i, want := range wants {
				want.check(t, i+1, outputs[i])
			}
			if challenge := `scope="wallet:export"`; !strings.Contains(outputs[2], challenge) {
				t.Errorf("the challenge lacks %s:\n%s", challenge, outputs[2])
			}
			checkPassedOn(t, outputs[1], "session", "")
			checkPassedOn(t, outputs[4], "elevated", "wallet:export")
			checkPassedOn(t, outputs[6], "elevated", "wallet:export")
		})
	}
	d.end(t, syscall.SIGTERM)
	log, err := os.ReadFile(filepath.Join(data, "caddy.log"))
	if err != nil {
		t.Fatalf("--data keeps nothing: %v", err)
	}
	if !bytes.Contains(log, []byte("/wallets/1/export")) {
		t.Error("the log holds no request")
	}
	if i := bytes.Index(log, []byte("eyJ")); i >= 0 {
		t.Errorf("the log holds a token: …%s…", log[max(0, i-200):i])
	}
}

// check wants one answer of the status, and if that is a refusal its code.
func (want printedStop) check(t *testing.T, n int, output string) {
	t.Helper()
	statuses := statusLine.FindAllStringSubmatch(output, -1)
	if want.status == "" {
		if len(statuses) > 0 || strings.TrimSpace(output) != "" {
			t.Errorf("stop %d printed something:\n%s", n, output)
		}
		return
	}
	if len(statuses) != 1 || statuses[0][1] != want.status {
		t.Errorf("stop %d: statuses %v, want %s\n%s", n, statuses, want.status, output)
	}
	if want.code != "" && !strings.Contains(output, `"code":"`+want.code+`"`) {
		t.Errorf("stop %d: no code %s\n%s", n, want.code, output)
	}
}

// checkPassedOn wants the API to have got a token of the gateway, and not what the client sent.
func checkPassedOn(t *testing.T, output, use, scope string) {
	t.Helper()
	_, body, _ := strings.Cut(output, "\r\n\r\n")
	var got struct {
		Headers map[string]string
		Claims  map[string]struct {
			Issuer string `json:"iss"`
			Use    string `json:"token_use"`
			Scope  string
			Ext    string `json:"external_user_id"`
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("the API answered no JSON: %v\n%s", err, output)
	}
	claims := got.Claims["Authorization"]
	if claims.Issuer != "https://api.example.com" || claims.Use != use || claims.Scope != scope || claims.Ext != "alice" {
		t.Errorf("the API got the claims %+v, want a token of the gateway for alice, use %s, scope %q", claims, use, scope)
	}
	if len(got.Claims) != 1 {
		t.Errorf("the API got %d tokens, want one: %v", len(got.Claims), got.Headers)
	}
	if email := got.Headers["X-User-Email"]; email != "alice@example.com" {
		t.Errorf("X-User-Email is %q, want what the external JWT says", email)
	}
}

func TestDemoLeavesNothingBehind(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			tmp := t.TempDir()
			d := startDemo(t, tmp)
			if entries, err := os.ReadDir(tmp); err != nil || len(entries) != 1 {
				t.Fatalf("the running demo has %v in the temporary directory, %v; want its one directory", entries, err)
			}
			d.end(t, sig)
			if entries, err := os.ReadDir(tmp); err != nil || len(entries) > 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
			if d.stderr.Len() > 0 {
				t.Errorf("standard error has\n%s\nwant nothing", d.stderr)
			}
		})
	}
}

// What the comments of the example say about the routes that the tour does not visit.
func TestExampleRoutesDoWhatTheCommentsSay(t *testing.T) {
	d := startDemo(t, t.TempDir())
	urls := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindAllString(d.printed, 2)
	api, token := urls[0], strings.TrimSpace(get(t, urls[1]+"/login?user=alice", "").body)
	for _, test := range []struct {
		name, path, token string
		status            int
		holds, lacks      string
	}{
		{"no pattern matches", "/elsewhere", token, 403, `"code":"route_denied"`, ""},
		{"deny", "/wallets/1/internal/keys", token, 403, `"code":"route_denied"`, ""},
		{"optional, without a token", "/news/1", "", 200, `"path": "/news/1"`, "Authorization"},
		{"optional, with one", "/news/1", token, 200, `"token_use": "session"`, token},
		{"optional, with a bad one", "/news/1", "nonsense", 401, `"code":"token_malformed"`, ""},
		{"allow_query", "/events/1?access_token=" + token, "", 200, `"token_use": "session"`, token},
		{"no allow_query", "/files/1?access_token=" + token, "", 401, `"code":"token_missing"`, ""},
		{"allow_path", "/files/a%2Fb", token, 200, `"path": "/files/a/b"`, ""},
		{"no allow_path", "/news/a%2Fb", token, 400, `"code":"ambiguous_path"`, ""},
		{"keep_external", "/files/1", token, 200, token, ""},
		{"token_header", "/files/1", token, 200, `"X-Session-Token": "ey`, ""},
		{"pass_errors", "/backoffice/1", "", 401, "401 token_missing", "{"},
		{"a token for another environment", "/backoffice/1", token, 401, "401 audience_mismatch", "{"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := get(t, api+test.path, test.token)
			if got.status != test.status || !strings.Contains(got.body, test.holds) {
				t.Errorf("%d\n%s\nwant %d, with %s", got.status, got.body, test.status, test.holds)
			}
			if test.lacks != "" && strings.Contains(got.body, test.lacks) {
				t.Errorf("the answer holds %s, which it should not:\n%s", test.lacks, got.body)
			}
		})
	}
	d.end(t, syscall.SIGTERM)
}

type answered struct {
	status int
	header http.Header
	body   string
}

func get(t *testing.T, url, token string) answered {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return send(t, r)
}

func send(t *testing.T, r *http.Request) answered {
	t.Helper()
	r.Close = true // the demo waits at its end for connections in use
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{resp.StatusCode, resp.Header, string(body)}
}

// Whoever can read what the login system says to a browser is whoever they like: that is
// for the pages of one origin, and so is the gateway.
func TestDemoAnswersThePagesOfOneOrigin(t *testing.T) {
	for _, test := range []struct{ name, app, stranger string }{
		{"the default", "http://127.0.0.1:9473", "http://localhost:9473"},
		{"another", "https://app.example.test", "http://127.0.0.1:9473"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var flags []string
			if test.name != "the default" {
				flags = []string{"--app-origin", test.app}
			}
			d := startDemo(t, t.TempDir(), flags...)
			if !strings.Contains(d.printed, "Pages of "+test.app+" may call both.") {
				t.Errorf("the demo does not name the origin:\n%s", d.printed)
			}
			urls := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindAllString(d.printed, 2)
			for _, path := range []string{"/login?user=alice", "/step-up?user=alice&scope=wallet:export"} {
				mustBeReadable(t, urls[1]+path, test.app, test.stranger)
			}
			mustBeReadable(t, urls[0]+"/wallets/1", test.app, test.stranger)
			d.end(t, syscall.SIGTERM)
		})
	}
}

// mustBeReadable wants a preflight and a GET answered for a page of the app, and for no other.
func mustBeReadable(t *testing.T, url, app, stranger string) {
	t.Helper()
	for _, method := range []string{http.MethodOptions, http.MethodGet} {
		for origin, want := range map[string]string{app: app, stranger: "", "null": ""} {
			r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Origin", origin)
			if method == http.MethodOptions {
				r.Header.Set("Access-Control-Request-Method", http.MethodPost)
				r.Header.Set("Access-Control-Request-Headers", "content-type")
			}
			if got := send(t, r).header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s %s: a page of %s is told %q, want %q", method, url, origin, got, want)
			}
		}
	}
}

// A page of anybody's reaches the demo under the name that the page came from, once that name resolves to 127.0.0.1.
func TestDemoAnswersToNoName(t *testing.T) {
	api := freeport.Address(t)
	_, port, _ := net.SplitHostPort(api)
	d := startDemo(t, t.TempDir(), "--upstream-port="+port)
	login := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindAllString(d.printed, 2)[1]
	for _, url := range []string{login + "/login?user=alice", login + "/step-up?user=alice&scope=wallet:export", "http://" + api + "/"} {
		for host, want := range map[string]int{
			"":                            http.StatusOK, // as in the URL
			"127.0.0.1":                   http.StatusOK,
			"evil.example.test":           http.StatusMisdirectedRequest,
			"evil.example.test:" + port:   http.StatusMisdirectedRequest,
			"127.0.0.1.evil.example.test": http.StatusMisdirectedRequest,
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			if got := send(t, r); got.status != want {
				t.Errorf("%s as %q: got %d, want %d", url, host, got.status, want)
			}
		}
	}
	d.end(t, syscall.SIGTERM)
}

// Its login system gives anybody any token, so nobody on another machine may reach it. Where
// the whole of 127/8 is this machine, a server on all addresses would answer on 127.0.0.2.
func TestDemoListensOnOneLoopbackAddress(t *testing.T) {
	d := startDemo(t, t.TempDir())
	addresses := regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindAllStringSubmatch(d.printed, 2)
	if len(addresses) != 2 || addresses[0][1] == addresses[1][1] {
		t.Fatalf("the first lines name %v, want the gateway and the login system", addresses)
	}
	for _, a := range addresses {
		if conn, err := net.Dial("tcp", a[0]); err != nil {
			t.Error(err)
		} else {
			_ = conn.Close()
		}
		if conn, err := net.DialTimeout("tcp", "127.0.0.2:"+a[1], time.Second); err == nil {
			_ = conn.Close()
			t.Errorf("port %s answers on 127.0.0.2 too", a[1])
		}
	}
	d.end(t, syscall.SIGTERM)
}
