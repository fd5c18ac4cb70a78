package caddymodule_test

import (
	"bufio"
	"encoding/base64"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// hugeTokens are made to cost a reader far more than their sender: by their length, by what
// somebody makes of every dot in them (golang-jwt CVE-2025-30204), or by what is in their parts.
var hugeTokens = sync.OnceValue(func() map[string]string {
	encode := base64.RawURLEncoding.EncodeToString
	header := encode([]byte(`{"alg":"ES256","kid":"k"}`))
	deep := strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	twice := `{"a":1` + strings.Repeat(`,"a":1`, 100_000) + "}"
	return map[string]string{
		"a megabyte":                          strings.Repeat("a", 1<<20),
		"a million dots":                      strings.Repeat(".", 1_000_000),
		"a hundred thousand objects, nested":  header + "." + encode([]byte(deep)) + ".c2ln",
		"a header as deep as that":            encode([]byte(deep)) + "." + header + ".c2ln",
		"a member a hundred thousand times":   header + "." + encode([]byte(twice)) + ".c2ln",
		"a hundred thousand arrays, unclosed": header + "." + encode([]byte(strings.Repeat("[", 100_000))) + ".c2ln",
	}
})

// A carrier is a place for a token, and a place like it that the gateway does not look for one in.
type carrier struct {
	name           string
	token, ballast func(text string) string // a request, for {{host}}
	passes         int                      // the answer to a token that is good
	refused        int                      // the answer to a huge one
}

func carriers() []carrier {
	get := func(target, line string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n" + line + "\r\n"
	}
	line := func(before string) func(string) string {
		return func(text string) string { return get("/wallets/1", before+text+"\r\n") }
	}
	query := func(name string) func(string) string {
		return func(text string) string { return get("/wallets/1?"+name+"="+text, "") }
	}
	body := func(member string) func(string) string {
		return func(text string) string {
			body := `{"` + member + `":"` + text + `"}`
			return "POST " + signInPath + " HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n" +
				"Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
		}
	}
	return []carrier{
		{"header", line("Authorization: Bearer "), line("Authorization: Basic "), 200, 431},
		{"cookie", line("Cookie: session_jwt="), line("Cookie: session_jwu="), 200, 431},
		{"query", query("token"), query("tokem"), 200, 431},
		{"body", body("jwt"), body("jwu"), 200, 400},
	}
}

// costOf sends a request and returns what this process allocated for it.
func (g *running) costOf(request string) (bytes uint64, status int) {
	g.t.Helper()
	raw := []byte(strings.Replace(request, "{{host}}", g.address, 1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	status = g.answerTo(raw)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, status
}

// answerTo sends bytes, and reads the answer even where the server does not read them all.
func (g *running) answerTo(request []byte) (status int) {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	written := make(chan struct{})
	go func() {
		_, _ = conn.Write(request)
		close(written)
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	_ = conn.Close()
	<-written
	if err != nil {
		g.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// sizedSite reads a token wherever one can be read.
var sizedSite = strings.Replace(plainSite, "\tbyoa\n", "\tbyoa {\n\t\tallow_query token\n\t}\n", 1)

func sizedEnvironment(lines string) string {
	return "environment {\n{{environment}}\ncookie_name session_jwt\n" + lines + "\n}"
}

// Whoever has no key must not be able to have the gateway work for nothing: a megabyte that is
// no token is refused for less memory than it takes to send it.
func TestHugeTokenCostsLittle(t *testing.T) {
	const most = 512 << 10
	g := start(t, sizedEnvironment(""), sizedSite)
	for _, c := range carriers() {
		t.Run(c.name, func(t *testing.T) {
			if _, status := g.costOf(c.token(g.external("alice"))); status != c.passes {
				t.Fatalf("an ordinary token: %d, want %d", status, c.passes)
			}
			before := g.upstream.count()
			for what, huge := range hugeTokens() {
				cost, status := g.costOf(c.token(huge))
				if status != c.refused {
					t.Errorf("%s: %d, want %d", what, status, c.refused)
				}
				if cost > most {
					t.Errorf("%s: %d bytes allocated for a request, want %d at most", what, cost, most)
				}
			}
			if n := g.upstream.count() - before; n != 0 {
				t.Errorf("%d of them reached the upstream", n)
			}
		})
	}
}

// Where an operator raised every limit there is, such a token is read. Then it costs in
// proportion to its length, beyond what as many bytes cost that nobody takes for a token.
func TestHugeTokenCostsWhatItWeighs(t *testing.T) {
	const most = 12 // bytes for each of the token; to split a million dots takes 16
	dearest := []string{"a million dots", "a member a hundred thousand times"}
	g := prepare(t)
	g.options = "servers {\n\tmax_header_size 4MiB\n}"
	g.load(sizedEnvironment("max_token_size 1MiB"), sizedSite)
	for _, c := range carriers() {
		if c.name == "body" {
			continue // is limited by the endpoint, whatever the config says
		}
		t.Run(c.name, func(t *testing.T) {
			if _, status := g.costOf(c.token(g.external("alice"))); status != c.passes {
				t.Fatalf("an ordinary token: %d, want %d", status, c.passes)
			}
			before := g.upstream.count()
			for what, huge := range hugeTokens() {
				if c.name != "header" && !slices.Contains(dearest, what) {
					continue // they are read alike wherever they come from
				}
				base, _ := g.costOf(c.ballast(strings.Repeat("a", len(huge))))
				cost, status := g.costOf(c.token(huge))
				if status != 401 {
					t.Errorf("%s: %d, want 401", what, status)
				}
				if limit := base + uint64(most*len(huge)); cost > limit {
					t.Errorf("%s: %d bytes allocated for a request, want %d at most: %d would be there without a token", what, cost, limit, base)
				}
			}
			if n := g.upstream.count() - before; n != 0 {
				t.Errorf("%d of them reached the upstream", n)
			}
		})
	}
}

// Header sections are cut up and compressed in each protocol in its own way, and each has its own limit.
func TestHugeTokenIsRefusedOverEveryProtocol(t *testing.T) {
	g := startWire(t, sizedEnvironment(""), sizedSite)
	alice := g.external("alice")
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for _, place := range []struct{ name, target, line, before string }{
			{"header", "/wallets/1", "Authorization", "Bearer "},
			{"cookie", "/wallets/1", "Cookie", "session_jwt="},
			{"query", "/wallets/1?token=", "", ""},
		} {
			with := func(token string) wireRequest {
				if place.line == "" {
					return wireRequest{method: "GET", target: place.target + token}
				}
				return wireRequest{method: "GET", target: place.target, lines: [][2]string{{place.line, place.before + token}}}
			}
			if got := send(with(alice)); got.status != 200 {
				t.Fatalf("%s: an ordinary token: %d %s", place.name, got.status, got.body)
			}
			before := g.upstream.count()
			for _, what := range []string{"a megabyte", "a million dots"} {
				if got := send(with(hugeTokens()[what])); got.status != 431 && got.status != 0 {
					t.Errorf("%s: %s: %d, want 431, or no answer", place.name, what, got.status)
				}
			}
			if n := g.upstream.count() - before; n != 0 {
				t.Errorf("%s: %d of them reached the upstream", place.name, n)
			}
		}
	})
}
