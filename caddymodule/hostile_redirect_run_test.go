package caddymodule_test

import (
	"net/http"
	"strings"
	"testing"
)

// A gateway that sends browsers on, to clean a path or to log in, sends them wherever whoever
// wrote the link wants, unless it is very careful. Neither the gate nor an endpoint ever does.
func TestNothingRedirects(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	session := g.signIn("alice")
	for _, target := range []string{
		"/", "//", "//evil.example", "//evil.example/%2e%2e", "///evil.example/", "/\\evil.example", "/%5cevil.example", "/./x", "/x/../y", "/x/.",
		"/wallets", "/wallets/1/", "/wallets//1", "/WALLETS/1", "/open", "/open/", "/open/x/", "/closed/", "http://evil.example//x", "http://user@evil.example/x",
		"/api/v0", "/api/v0/", "/api/v0/sdk", "/api/v0/sdk/", endpoints, endpoints + "/", endpoints + "/settings/", "/api/v0//sdk/" + environmentID + "/settings",
		"/api/v0/sdk//" + environmentID + "/settings", endpoints + "/./settings", endpoints + "/x/../settings", "//evil.example" + endpoints + "/settings",
		endpoints + "/externalAuth/signin/", endpoints + "?next=//evil.example", "/?next=https://evil.example&redirect_uri=//evil.example&rd=//evil.example",
	} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			for _, line := range []string{"Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", "Authorization: Bearer " + session + "\r\n"} {
				status, header := statusOf(t, g.raw(method+" "+target+" HTTP/1.1\r\nHost: "+g.address+"\r\nContent-Length: 0\r\nConnection: close\r\n"+line+"\r\n"))
				if status[0] == '3' || strings.Contains(header, "\r\nlocation:") || strings.Contains(header, "\r\nrefresh:") {
					t.Errorf("%s %s: %s %s", method, target, status, header)
				}
			}
		}
	}
	// The control: what the upstream wants is passed on, and this test would see it.
	g.upstream.answer(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	status, header := statusOf(t, g.raw("GET /open/x HTTP/1.1\r\nHost: "+g.address+"\r\nConnection: close\r\nAuthorization: Bearer "+session+"\r\n\r\n"))
	if status != "302" || !strings.Contains(header, "\r\nlocation: /elsewhere") {
		t.Errorf("the upstream's redirect: %s %s", status, header)
	}
}

// statusOf is the status of an answer, and its header lines in lower case.
func statusOf(t *testing.T, answer string) (status, header string) {
	t.Helper()
	head, _, complete := strings.Cut(answer, "\r\n\r\n")
	line, header, _ := strings.Cut(head, "\r\n")
	words := strings.Fields(line)
	if !complete || len(words) < 2 || len(words[1]) != 3 {
		t.Fatalf("no answer: %q", answer)
	}
	return words[1], strings.ToLower("\r\n" + header)
}

// The README's recipe sends browsers to the login page, and nothing in a request says where that is.
func TestLoginPageIsWhereTheConfigSays(t *testing.T) {
	g := prepare(t)
	g.site = "http://:" + portOf(g.address) // whatever the Host is
	g.load(`environment {
			{{environment}}
			cookie_name session_jwt
		}`, "bind 127.0.0.1\n"+loginRecipe(t))
	for _, c := range []struct{ name, target, lines string }{
		{"an ordinary path", "/account", "Host: app.example.com"}, // the control
		{"two slashes", "//evil.example/%2e%2e", "Host: app.example.com"},
		{"a backslash", "/\\evil.example", "Host: app.example.com"},
		{"an encoded backslash", "/%5c%5cevil.example", "Host: app.example.com"},
		{"a target in the query", "/account?next=//evil.example", "Host: app.example.com"},
		{"another host", "/account", "Host: evil.example"},
		{"another host in the target", "http://evil.example/account", "Host: app.example.com"},
		{"a user in the target", "http://auth.example.com@evil.example/account", "Host: app.example.com"},
		{"a host that was forwarded", "/account", "Host: app.example.com\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: javascript\r\nForwarded: host=evil.example"},
		{"a line break", "/account%0d%0aLocation:%20//evil.example", "Host: app.example.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := g.raw("GET " + c.target + " HTTP/1.1\r\n" + c.lines + "\r\nConnection: close\r\n\r\n")
			status, header := statusOf(t, answer)
			switch {
			case status == "400" && c.name != "an ordinary path" && !strings.Contains(header, "\r\nlocation:"):
			case status == "303" && strings.Count(header, "\r\nlocation:") == 1 && strings.Contains(header+"\r\n", "\r\nlocation: https://auth.example.com/login\r\n"):
			default:
				t.Errorf("got %s %s", status, header)
			}
			if strings.Contains(answer, "evil") {
				t.Errorf("the answer repeats what the request said: %q", answer)
			}
		})
	}
}

// loginRecipe is the site of the README whose browsers are sent to a login page.
func loginRecipe(t *testing.T) string {
	t.Helper()
	for _, s := range snippets(t, "caddyfile") {
		if _, site, ok := strings.Cut(s, "\napp.example.com {\n"); ok {
			return strings.ReplaceAll(strings.TrimSuffix(site, "}\n"), "localhost:3000", "{{upstream}}")
		}
	}
	t.Fatal("the README has no such site")
	return ""
}
