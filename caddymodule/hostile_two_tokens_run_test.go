package caddymodule_test

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A gateway fell over when two Authorization lines came while the keys could not be fetched
// (CVE-2025-64527). Two credentials are refused before anybody asks for a key, and the
// gateway goes on to say of one that there is no key yet.
func TestTwoTokensWhileThereAreNoKeys(t *testing.T) {
	g := prepareWire(t)
	g.issuer.Fail(true)
	g.load(forwardedEnvironment, plainSite)
	const refresh = "/api/v0/sdk/" + environmentID + "/refresh"
	one, two := g.external("alice"), g.external("bob")
	authorization := func(value string) [2]string { return [2]string{"Authorization", value} }
	cookie := func(value string) [2]string { return [2]string{"Cookie", value} }
	cases := []struct {
		name, method, target string
		lines                [][2]string
		want                 string
	}{
		{"one", "GET", "/open/x", [][2]string{authorization("Bearer " + one)}, "keys_unavailable"},
		{"two lines", "GET", "/open/x", [][2]string{authorization("Bearer " + one), authorization("Bearer " + two)}, "bad_request"},
		{"one line twice", "GET", "/open/x", [][2]string{authorization("Bearer " + one), authorization("Bearer " + one)}, "bad_request"},
		{"a line of another scheme", "GET", "/open/x", [][2]string{authorization("Basic eDp5"), authorization("Bearer " + one)}, "bad_request"},
		{"an empty line", "GET", "/open/x", [][2]string{authorization("Bearer " + one), authorization("")}, "bad_request"},
		{"a list", "GET", "/open/x", [][2]string{authorization("Bearer " + one + ", Bearer " + two)}, "bad_request"},
		{
			"two lines beside a good cookie", "GET", "/open/x",
			[][2]string{authorization("Bearer " + one), authorization("Bearer " + two), cookie("ext=" + one)},
			"bad_request",
		},
		{"one line beside a good cookie", "GET", "/open/x", [][2]string{authorization("Bearer " + one), cookie("ext=" + one)}, "keys_unavailable"},
		{"one cookie", "GET", "/open/x", [][2]string{cookie("ext=" + one + "; other=" + two)}, "keys_unavailable"},
		{"two cookies", "GET", "/open/x", [][2]string{cookie("ext=" + one + "; ext=" + two)}, "bad_request"},
		{"two cookie lines", "GET", "/open/x", [][2]string{cookie("ext=" + one), cookie("ext=" + two)}, "bad_request"},
		{"nothing at an endpoint", "POST", refresh, nil, "token_missing"},
		{"two lines at an endpoint", "POST", refresh, [][2]string{authorization("Bearer " + one), authorization("Bearer " + two)}, "bad_request"},
	}
	statuses := map[string]int{"bad_request": 400, "token_missing": 401, "keys_unavailable": 503}
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for range 3 {
			var all sync.WaitGroup
			for _, c := range slices.Concat(cases, cases) { // at once; of HTTP/3, no more than 32 connections may begin together
				all.Go(func() {
					got := send(wireRequest{method: c.method, target: c.target, lines: c.lines})
					if got.status != statuses[c.want] || !strings.Contains(got.body, `"code":"`+c.want+`"`) {
						t.Errorf("%s: %d %s, want %d %s", c.name, got.status, got.body, statuses[c.want], c.want)
					}
					if c.want == "keys_unavailable" && got.header.Get("Retry-After") == "" {
						t.Errorf("%s: nothing says when to come back", c.name)
					}
				})
			}
			all.Wait()
		}
	})
	if n := g.upstream.count(); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
	log, err := os.ReadFile(g.logFile)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(log), "panic") {
		t.Error("the log tells of a panic")
	}
}
