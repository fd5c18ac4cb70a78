package caddymodule_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const claimsSite = `byoa {
		token_header X-Session
		claim_header X-Name name
		claim_header X-External external_id
		claim_header X-Inner profile.name
	}
	reverse_proxy {{upstream}}`

// unfit are texts that are no value of a header, or not the same to every server (RFC 9110
// section 5.5): controls, line ends of Unicode, what is not ASCII, white space around.
func unfit() map[string]string {
	texts := map[string]string{
		"a header of its own":         "a\r\nX-Admin: yes",
		"a request of its own":        "a\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
		"a folded line":               "a\r\n b",
		"a bare line feed":            "a\nX-Admin: yes",
		"a bare carriage return":      "a\rX-Admin: yes",
		"NEL":                         "a\u0085X-Admin: yes",
		"LINE SEPARATOR":              "a\u2028X-Admin: yes",
		"PARAGRAPH SEPARATOR":         "a\u2029X-Admin: yes",
		"letters that end in CR LF":   "a\u010d\u010aX-Admin: yes", // where somebody drops the upper byte
		"a no-break space":            "a\u00a0b",
		"an umlaut":                   "\u00e4",
		"the replacement character":   "a\ufffd",
		"an emoji":                    "\U0001f600",
		"a mark that turns text over": "a\u202eb",
		"a space before":              " a",
		"a space behind":              "a ",
		"too much":                    strings.Repeat("x", 4<<10+1),
	}
	for c := range 0x20 {
		texts[fmt.Sprintf("%#02x", c)] = "a" + string(rune(c)) + "b"
	}
	texts["0x7f"] = "a\x7fb"
	return texts
}

// A user who may choose their own name would write a header with it, for the upstream to
// believe as it believes the gateway's (CVE-2024-45808, CVE-2025-25294).
func TestClaimCannotWriteAHeader(t *testing.T) {
	g := start(t, plainEnvironment, claimsSite)
	named := func(text string) map[string]any {
		return map[string]any{"name": text, "profile": map[string]any{"name": text}}
	}
	for name, text := range unfit() {
		g.want(request{path: "/", bearer: g.external("alice", named(text))}, 200, "")
		g.wantClaimHeaders(t, name+" in a claim", http.Header{"X-External": {"alice"}})

		g.want(request{path: "/", bearer: g.external(text, named("plain"))}, 200, "")
		g.wantClaimHeaders(t, name+" in sub", http.Header{"X-Name": {"plain"}, "X-Inner": {"plain"}})
	}
	for name, text := range map[string]string{"a plain name": "Ada Lovelace", "punctuation": `a,"b";c=\d: {e}`} {
		g.want(request{path: "/", bearer: g.external(text, named(text))}, 200, "")
		g.wantClaimHeaders(t, name, http.Header{"X-Name": {text}, "X-Inner": {text}, "X-External": {text}})
	}
	most := strings.Repeat("x", 4<<10) // "too much" is one more
	g.want(request{path: "/", bearer: g.external("alice", map[string]any{"name": most})}, 200, "")
	g.wantClaimHeaders(t, "as much as fits", http.Header{"X-Name": {most}, "X-External": {"alice"}})
	digits := "0." + strings.Repeat("1", 4<<10-2)
	for number, want := range map[string]http.Header{
		digits:       {"X-Name": {digits}, "X-External": {"alice"}},
		digits + "1": {"X-External": {"alice"}},
	} {
		g.want(request{path: "/", bearer: g.external("alice", map[string]any{"name": json.Number(number)})}, 200, "")
		g.wantClaimHeaders(t, fmt.Sprintf("a number of %d bytes", len(number)), want)
	}
}

// A claim that upstreams would refuse the whole request for is left out, where it gets as far:
// by default Caddy takes no headers of that size, and the gateway no such token.
func TestHugeClaimIsNoHeader(t *testing.T) {
	const size = 64 << 10
	wide := []string{"max_header_size 1MiB"}
	roomy := strings.Replace(plainEnvironment, "{{environment}}", "{{environment}}\nmax_token_size 1MiB", 1)
	for _, c := range []struct {
		name, environment string
		servers           []string
		want              int
		code              string
	}{
		{"by default", plainEnvironment, nil, 431, ""},
		{"where Caddy takes it", plainEnvironment, wide, 401, "token_too_large"},
		{"where the gateway takes it too", roomy, wide, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := prepare(t)
			if c.servers != nil {
				g.options = "servers {\n" + strings.Join(c.servers, "\n") + "\n}"
			}
			g.load(c.environment, claimsSite)
			huge := strings.Repeat("x", size)
			g.want(request{path: "/", bearer: g.external("alice", map[string]any{"name": huge})}, c.want, c.code)
			if c.want == 200 {
				g.wantClaimHeaders(t, "a huge name", http.Header{"X-External": {"alice"}})
			} else if n := g.upstream.count(); n != 0 {
				t.Errorf("%d requests reached the upstream", n)
			}
			g.want(request{path: "/", bearer: g.external("alice", map[string]any{"name": "short"})}, 200, "")
			g.wantClaimHeaders(t, "a short name", http.Header{"X-Name": {"short"}, "X-External": {"alice"}})
		})
	}
}

// wantClaimHeaders fails the test unless the upstream got these headers of [claimsSite], and
// beside the session nothing that the client or a client of HTTP would not have sent.
func (g *running) wantClaimHeaders(t *testing.T, what string, want http.Header) {
	t.Helper()
	got := g.upstream.last(t).Header.Clone()
	if claimsOf(t, got.Get("X-Session"))["token_use"] != "session" {
		t.Errorf("%s: there is no session for the upstream", what)
	}
	for _, usual := range []string{
		"X-Session", "User-Agent", "Accept-Encoding", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
	} {
		got.Del(usual)
	}
	if !maps.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("%s: the upstream got %.300q, want %.300q", what, got, want)
	}
}
