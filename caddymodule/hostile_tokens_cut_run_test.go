package caddymodule_test

import (
	"crypto/rand"
	"strings"
	"testing"
)

// cuts are what was made of a token that the gateway remembers. A memory that compares a prefix, or a token
// without its signature, or what decodes to the same, takes them for it (CVE-2026-27840).
var cuts = []struct {
	name string
	of   func(token string) string
}{
	{"a letter less", func(s string) string { return s[:len(s)-1] }},
	{"a letter more", func(s string) string { return s + "A" }},
	{"the first letter less", func(s string) string { return s[1:] }},
	{"a letter before it", func(s string) string { return "e" + s }},
	{"half of it", func(s string) string { return s[:len(s)/2] }},
	{"no signature", func(s string) string { return s[:strings.LastIndex(s, ".")+1] }},
	{"neither signature nor dot", func(s string) string { return s[:strings.LastIndex(s, ".")] }},
	{"a dot more", func(s string) string { return s + "." }},
	{"a part more", func(s string) string { return s + ".e30" }},
	{"twice", func(s string) string { return s + s }},
	{"padded", func(s string) string { return s + "==" }},
	{"other bits at its end, which nobody decodes", lastBits},
	{"another letter in its signature", func(s string) string { return otherLetter(s, strings.LastIndex(s, ".")+20) }},
	{"another letter in its payload", func(s string) string { return otherLetter(s, strings.Index(s, ".")+20) }},
	{"header and payload swapped", func(s string) string { return swapped(s, 0, 1) }},
	{"payload and signature swapped", func(s string) string { return swapped(s, 1, 2) }},
	{"in upper case", strings.ToUpper},
	{"in lower case", strings.ToLower},
}

func otherLetter(s string, at int) string {
	other := "A"
	if s[at] == 'A' {
		other = "B"
	}
	return s[:at] + other + s[at+1:]
}

func swapped(s string, i, j int) string {
	parts := strings.Split(s, ".")
	parts[i], parts[j] = parts[j], parts[i]
	return strings.Join(parts, ".")
}

// lastBits sets one of the bits of the last letter that hold nothing: an ES256 signature has
// 64 bytes, so 86 letters, and four such bits.
func lastBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])^1])
}

// A token is remembered by all of it: nothing that is like it is let on because it was.
func TestCutTokenIsNotTheRememberedOne(t *testing.T) {
	g := startAdmin(t, strings.Replace(plainEnvironment, "{{environment}}", "{{environment}}\nscope wallet:sign {\n multi_use\n}", 1), plainSite)
	session := g.signIn("alice")
	for name, r := range map[string]request{
		"external JWT":  {path: "/wallets/1", bearer: g.external("bob", map[string]any{"jti": rand.Text()})},
		"session token": {path: "/wallets/1", bearer: session},
	} {
		t.Run(name, func(t *testing.T) {
			g.wantRemembered(t, r)
			for _, c := range cuts {
				cut := r
				cut.bearer = c.of(r.bearer)
				g.wantMiss(t, c.name, cut, 401)
			}
			g.wantRemembered(t, r)
		})
	}
	t.Run("elevated token", func(t *testing.T) {
		r := request{method: "POST", path: "/wallets/1/sign", bearer: session, elevated: g.elevate(session, "alice", "wallet:sign")}
		g.want(r, 200, "")
		for _, c := range cuts {
			cut := r
			cut.elevated = c.of(r.elevated)
			before := g.upstream.count()
			if got := g.do(cut); got.status != 403 || got.code != "elevated_invalid" || g.upstream.count() != before {
				t.Errorf("%s: %d %q, want 403 elevated_invalid", c.name, got.status, got.code)
			}
		}
		g.want(r, 200, "")
	})
}

const hitsAndMisses = `caddy_byoa_cache_requests_total{cache="tokens",result=`

// wantRemembered waits until a request is answered from memory.
func (g *running) wantRemembered(t *testing.T, r request) {
	t.Helper()
	pollUntil(t, "it is remembered", func() bool {
		before := g.scrape(g.admin)[hitsAndMisses+`"hit"}`]
		g.want(r, 200, "")
		return g.scrape(g.admin)[hitsAndMisses+`"hit"}`] == before+1
	})
}

// wantMiss wants a token refused that the memory does not have.
func (g *running) wantMiss(t *testing.T, name string, r request, status int) {
	t.Helper()
	before, seen := g.scrape(g.admin), g.upstream.count()
	got := g.do(r)
	if got.status != status || g.upstream.count() != seen {
		t.Errorf("%s: %d %q, want %d and nothing upstream", name, got.status, got.code, status)
	}
	after := g.scrape(g.admin)
	if hits := hitsAndMisses + `"hit"}`; after[hits] != before[hits] {
		t.Errorf("%s is taken for what is remembered", name)
	}
	if misses := hitsAndMisses + `"miss"}`; after[misses] == before[misses] {
		t.Errorf("%s was not looked up: this test looks at nothing", name)
	}
}
