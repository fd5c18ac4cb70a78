package caddymodule

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

// A client brings tokens in every place that the product reads, and Caddy logs the request
// at every stage. Whoever reads the logs must not be able to use one of them.
func TestLogsShowNoToken(t *testing.T) {
	hideFromLogs(hidden{
		headers: []string{"Authorization", "X-External", "x-session"},
		cookies: []string{"session_jwt", "__Host-byoa"},
		query:   []string{"access_token"},
	})
	for name, format := range map[string]string{
		"byoa":                "byoa",
		"byoa around console": "byoa {\n wrap console\n }",
		"byoa around filter":  "byoa {\n wrap filter {\n request>headers>User-Agent delete\n }\n }",
		"filter around byoa":  "filter {\n wrap byoa\n request>headers>User-Agent delete\n }",
		"append around byoa":  "append {\n wrap byoa\n node a1\n }",
	} {
		for _, credentials := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, credentials %v", name, credentials), func(t *testing.T) {
				log := loggedTraffic(t, format, credentials)
				for place, token := range tokensByPlace() {
					for _, segment := range strings.Split(token, ".") {
						if strings.Contains(log, segment) {
							t.Errorf("part %s of the token in the %s is in the log:\n%s", segment, place, log)
						}
					}
				}
				for _, want := range []string{"keep-header", "keep-query", "keep-location", "fetching the price", "QUERY_STRING", "upstream roundtrip", "handled request"} {
					if !strings.Contains(log, want) {
						t.Errorf("%q is not in the log: too much was taken out, or nothing was logged", want)
					}
				}
				if cookies := strings.Contains(log, "theme=keep-cookie; lang=en"); cookies != credentials {
					t.Errorf("other cookies in the log: got %v, want %v", cookies, credentials)
				}
			})
		}
	}
}

// The same traffic with Caddy's own formats, which show what the test above looks for.
func TestLogsOfCaddyShowTokens(t *testing.T) {
	redactedByCaddy := map[string]bool{"authorization": true, "cookie": true, "session cookie": true, "set-cookie": true}
	for _, format := range []string{"json", "console"} {
		for _, credentials := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, credentials %v", format, credentials), func(t *testing.T) {
				log := loggedTraffic(t, format, credentials)
				for place, token := range tokensByPlace() {
					want := credentials || !redactedByCaddy[place]
					if got := strings.Contains(log, token); got != want {
						t.Errorf("token in the %s is in the log: got %v, want %v", place, got, want)
					}
				}
			})
		}
	}
}

// A header value that looks like the end of a line or of an object must not let a client write
// log lines of its own.
func TestLogLinesStayJSON(t *testing.T) {
	log := loggedTraffic(t, "byoa", true)
	if !strings.Contains(log, "forged") {
		t.Fatal("the hostile header is not in the log")
	}
	for line := range strings.Lines(log) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("no JSON object: %v\n%s", err, line)
		}
		if entry["msg"] == "forged" {
			t.Errorf("a header value became a line of its own:\n%s", line)
		}
	}
}

// tokensByPlace are the tokens of a request, each in a place of its own.
func tokensByPlace() map[string]string {
	places := []string{
		"elevated header", "assertion header", "assertion header with underscores", "assertion header with dots", "authorization",
		"external header", "cookie", "session cookie", "query", "encoded query", "referer", "nested query", "set-cookie",
	}
	tokens := make(map[string]string, len(places))
	for i, place := range places {
		tokens[place] = fmt.Sprintf("eyJhead%02dx.eyJbody%02dx.Sign%02dx", i, i, i)
	}
	return tokens
}

// loggedTraffic is what Caddy logs at DEBUG of requests that are answered, redirected,
// proxied, proxied to nobody, sent to a FastCGI server, and failed.
func loggedTraffic(t *testing.T, format string, credentials bool) string {
	t.Helper()
	tokens := tokensByPlace()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "__Host-byoa="+tokens["set-cookie"]+"; Path=/; Secure")
	}))
	t.Cleanup(upstream.Close)
	option := ""
	if credentials {
		option = "log_credentials"
	}
	address, logFile := freeport.Address(t), filepath.Join(t.TempDir(), "caddy.log")
	stop := runCaddy(t, fmt.Sprintf(`{
		admin off
		persist_config off
		auto_https off
		servers {
			%s
		}
		log {
			level DEBUG
			output file %s
			format %s
		}
	}
	http://%s {
		log
		log_append X-External {header.X-External}
		redir /redirected /keep-location?{query} 302
		error /failed "fetching the price: Get \"http://prices/?{query}\": refused" 502
		reverse_proxy /dead %s
		reverse_proxy /alive %s
		reverse_proxy /php %s {
			transport fastcgi
		}
		respond / ok
	}`, option, logFile, format, address, freeport.Address(t), upstream.Listener.Addr(), freeport.Address(t)))
	for _, path := range []string{"/", "/redirected", "/failed", "/dead", "/alive", "/php"} {
		sendTokens(t, address, path, tokens)
	}
	stop()
	log, err := os.ReadFile(logFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

// sendTokens sends a request as no HTTP client would write it.
func sendTokens(t *testing.T, address, path string, tokens map[string]string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	back := url.QueryEscape("/ws?access_token=" + tokens["nested query"] + "&b=2")
	fmt.Fprintf(conn, "GET %s?a=keep-query&access_token=%s&%%61ccess%%5Ftoken=%s&back=%s HTTP/1.1\r\n", path, tokens["query"], tokens["encoded query"], back)
	for _, line := range []string{
		"Host: " + address,
		"Connection: close",
		"X-Other: keep-header",
		"x-dyn-elevated-access-token: " + tokens["elevated header"],
		"X-STEP-UP-ASSERTION: " + tokens["assertion header"],
		"X_Step_Up_Assertion: " + tokens["assertion header with underscores"],
		"X.Step.Up.Assertion: " + tokens["assertion header with dots"],
		"Authorization: Bearer " + tokens["authorization"],
		"X-External: " + tokens["external header"],
		"Cookie: theme=keep-cookie; session_jwt=" + tokens["cookie"] + "; lang=en",
		"Cookie: __Host-byoa=" + tokens["session cookie"],
		"Referer: https://app.example.com/?access_token=" + tokens["referer"],
		`X-Hostile: "}}` + "\t\xff\xfe" + `\u000a{"msg":"forged"}<script>` + "\u2028",
	} {
		fmt.Fprintf(conn, "%s\r\n", line)
	}
	fmt.Fprint(conn, "\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusBadRequest {
		t.Fatal("the server did not take the request")
	}
}

// runCaddy runs a Caddyfile until the returned function is called, which waits for the requests under way.
func runCaddy(t *testing.T, config string) (stop func()) {
	t.Helper()
	return runConfig(t, adaptCaddyfile(t, config))
}

func runConfig(t *testing.T, config []byte) (stop func()) {
	t.Helper()
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func adaptCaddyfile(t *testing.T, config string) []byte {
	t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	return adapted
}
