package caddymodule_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Clients that get "?" or "&" wrong write their token into the path.
func TestAuditLogLeavesTokensOutOfPaths(t *testing.T) {
	a := newAudited(t, "json")
	a.tolerate("caddy.log") // Caddy's own log shows the request as it came
	a.load(plainEnvironment, plainSite)
	const token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	for path, want := range map[string]string{
		"/ws/" + token + "/x":            "/ws/…/x",
		"/ws%3Faccess_token=" + token:    "/ws%3Faccess_token=…",
		"/ws/eyJhbGciOiJub25lIn0%2EeyJ9": "/ws/…",
		"/eyJ-is-no-token":               "/eyJ-is-no-token",
	} {
		got := a.told(func() { a.do(request{path: path}) })
		if len(got) != 1 || got[0]["path"] != want {
			t.Errorf("%s: got %v, want one line with path %s", path, got, want)
		}
	}
}

// signed is a good JWT of alice whose header is this text.
func (a *audited) signed(header string) string {
	a.t.Helper()
	segment := base64.RawURLEncoding.EncodeToString
	_, rest, _ := strings.Cut(a.issuer.Token(map[string]any{"sub": "alice", "aud": audience, "nonce": header}), ".")
	payload, _, _ := strings.Cut(rest, ".")
	input := segment([]byte(header)) + "." + payload
	return input + "." + segment(a.issuer.Key().Sign([]byte(input)))
}

// A writing is a path with a token in it, and what of the path is for the log.
type writing struct{ how, path, logged string }

// encodedWhole is s with every character percent-encoded, again and again.
func encodedWhole(s string, times int) string {
	for range times {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
		s = b.String()
	}
	return s
}

func writingsOf(token string) []writing {
	dots := func(as string) string { return strings.ReplaceAll(token, ".", as) }
	first, rest := token[0], token[1:]
	unsigned := token[:strings.LastIndex(token, ".")] // its header alone gives it away
	return []writing{
		{"as it is", "/ws/" + token + "/x", "/ws/…/x"},
		{"as a parameter", "/ws%3Ftoken=" + token + "%26a=1", "/ws%3Ftoken=…%26a=1"},
		{"behind & for ?", "/ws&token=" + token, "/ws&token=…"},
		{"twice", "/" + token + ":" + token + "/", "/…:…/"},
		{"in a word", "/ws-" + token, "/…"},
		{"dots encoded", "/" + dots("%2e") + "/a.b", "/…/a.b"},
		{"dots encoded, in upper case", "/%41/" + dots("%2E"), "/%41/…"},
		{"dots encoded twice", "/" + dots("%252E"), "/…"},
		{"first letter encoded", fmt.Sprintf("/x/%%%x%s", first, rest), "/x/…"},
		{"first letter encoded twice", fmt.Sprintf("/x/%%25%X%s", first, rest), "/x/…"},
		{"every letter encoded", "/" + encodedWhole(token, 1) + "/y", "/…/y"},
		{"every letter encoded twice", "/" + encodedWhole(token, 2), "…"},
		{"dots encoded whole twice", "/" + dots("%25%32%45"), "…"},
		{"dots encoded whole six times", "/" + dots(encodedWhole(".", 6)), "…"},
		{"broken into lines", "/" + token[:9] + "%0A" + token[9:40] + "%0D%0A" + token[40:], "/…"},
		{"padded", "/" + dots("=."), "/…"},
		{"padded twice", "/" + dots("%3D=."), "/…"},
		{"without its signature", "/" + unsigned, "/…"},
		{"behind one letter", "/w" + unsigned, "/…"}, // base64 counts by fours
		{"behind two", "/ws" + unsigned, "/…"},
		{"behind three", "/ws-" + unsigned, "/…"},
		{"behind four", "/ws-w" + unsigned, "/…"},
		{"without its first letter", "/" + rest, "/…"},
	}
}

// A log that knew a token by its first letters would keep those of a login system that writes
// its headers in another way, which are as good, and whoever reads the log could sign in.
func TestAuditLogLeavesTokensOutOfPathsHoweverTheyAreWritten(t *testing.T) {
	a := newAudited(t, "json")
	a.tolerate("caddy.log")
	a.load(plainEnvironment, plainSite)
	alg, kid := `"alg":"ES256"`, `"kid":"`+a.issuer.Key().ID()+`"`
	var tokens []string
	for name, header := range map[string]string{
		"as most are":         `{` + alg + `,` + kid + `}`,
		"a space":             `{ ` + alg + `, ` + kid + ` }`,
		"a line feed":         "{\n\t" + alg + ",\n\t" + kid + "\n}",
		"lines of Windows":    "{\r\n" + alg + ",\r\n" + kid + "\r\n}\r\n",
		"a space before":      ` {` + alg + `,` + kid + `}`,
		"lines around":        "\n\n\n\n{" + kid + "," + alg + "}\n\n",
		"an escaped name":     `{"\u0061lg":"ES256",` + kid + `}`,
		"another name before": `{"x5t#S256":"",` + kid + "," + alg + `}`,
		"a name of no ASCII":  `{"é":1,` + kid + "," + alg + `}`,
		"a digit":             `{"1":1,` + kid + "," + alg + `}`,
	} {
		token := a.signed(header)
		tokens = append(tokens, token)
		a.want(request{path: "/wallets/1", bearer: token}, 200, "")
		before := len(a.lines())
		var asked, want, got []string
		for _, w := range writingsOf(token) {
			asked, want = append(asked, w.how), append(want, w.logged)
			a.raw("GET " + w.path + " HTTP/1.1\r\nHost: " + a.address + "\r\nConnection: close\r\n\r\n")
		}
		for _, line := range a.lines()[before:] {
			got = append(got, fmt.Sprint(line["path"]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("a header with %s, %q:\n got %q\nwant %q", name, asked, got, want)
		}
	}
	a.wantInNoLineOfOurs(t, tokens)
}

// Not every path with a dot or a letter too many holds a token.
func TestAuditLogShowsPathsWithoutTokens(t *testing.T) {
	a := newAudited(t, "json")
	a.load(plainEnvironment, plainSite)
	for _, path := range []string{
		"/a.b/c.js", "/v1.2.3/openapi.json", "/keyId.json", "/keyList.min.js", "/hockeyJersey.png", "/eyJ-is-no-token", "/1.2%2E3/%20",
		"/list/eyJwYWdlIjoyfQ", "/%7B%22alg%22%7D.%7B%7D.x", "/x.eyJwYWdlIjoyfQ", "/%25.%25", "/..eyJ", "/a=b.c=d",
	} {
		got := a.told(func() { a.raw("GET " + path + " HTTP/1.1\r\nHost: " + a.address + "\r\nConnection: close\r\n\r\n") })
		if len(got) != 1 || got[0]["path"] != path {
			t.Errorf("%s: got %v, want one line with this path", path, got)
		}
	}
}

// The path is not all that a client may choose: why a token is refused, the audit log says in
// words of that token, which may be another one.
func TestAuditLogLeavesTokensOutOfReasons(t *testing.T) {
	a := newAudited(t, "json")
	a.tolerate("caddy.log")
	a.load(plainEnvironment, plainSite)
	short := "eyAiYWxnIjoiYSJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"alice the first"}`)) + ".c2lnbmF0dXJlIHNpZ25hdHVyZQ"
	for _, c := range []struct {
		code           string
		header, claims map[string]any
	}{
		{"key_not_found", map[string]any{"kid": short}, nil},
		{"algorithm_not_allowed", map[string]any{"alg": short}, nil},
		{"issuer_mismatch", nil, map[string]any{"iss": short}},
		{"audience_mismatch", nil, map[string]any{"aud": short}},
	} {
		claims := claimsOf(t, a.issuer.Token(map[string]any{"aud": audience}))
		for name, value := range c.claims {
			claims[name] = value
		}
		a.want(request{path: "/x", bearer: a.issuer.Sign(c.header, claims)}, 401, c.code)
	}
	a.wantInNoLineOfOurs(t, []string{short})
	if n := len(a.lines()); n != 4 {
		t.Errorf("%d lines, want 4", n)
	}
}

// wantInNoLineOfOurs fails the test if a line of this module shows a part of a token.
func (a *audited) wantInNoLineOfOurs(t *testing.T, tokens []string) {
	t.Helper()
	for _, line := range slices.Concat(a.lines(), linesOf(t, a.logFile)) {
		if logger, _ := line["logger"].(string); logger != "byoa" && !strings.HasPrefix(logger, "byoa.") && !strings.HasPrefix(logger, "http.handlers.") {
			continue // Caddy's own show the request as it came
		}
		text := fmt.Sprint(line)
		for _, token := range tokens {
			if segment := shownSegment(text, token); segment != "" {
				t.Errorf("%s shows a part of a token: …%s…", line["logger"], segment[:8])
			}
		}
	}
}
