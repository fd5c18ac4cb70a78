package caddymodule_test

import (
	"strings"
	"testing"
)

// The header decides, and the cookies beside it are of somebody else. An upstream that got
// them as well could believe those.
func TestCookieIsRemovedThoughTheHeaderDecides(t *testing.T) {
	g := startWire(t, cookieEnvironment, `byoa {
		token_header X-Session
		claim_header X-Who external_id
	}
	reverse_proxy {{upstream}}`)
	alice, mallory := g.external("alice"), g.external("mallory")
	bearer := [2]string{"Authorization", "Bearer " + alice}
	odd := `a=1;b="x y" ;  Ext=2; ext2=3; xext=` + "4=ext=5" // names that only look like ours
	for name, c := range map[string]struct {
		cookies []string
		want    string
	}{
		"in one line":           {[]string{"a=1; ext=" + mallory + "; b=2"}, "a=1; b=2"},
		"in several":            {[]string{"a=1", "ext=" + mallory, "b=2"}, "a=1; b=2"}, // HTTP/2 and HTTP/3 may split them anywhere
		"the session's too":     {[]string{"a=1; " + sessionCookie + "=" + mallory, "ext=" + mallory + "; b=2"}, "a=1; b=2"},
		"alone":                 {[]string{"ext=" + mallory}, ""},
		"those of others alone": {[]string{odd}, odd},
	} {
		t.Run(name, func(t *testing.T) {
			overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
				r := wireRequest{method: "GET", target: "/", lines: [][2]string{bearer}}
				for _, line := range c.cookies {
					r.lines = append(r.lines, [2]string{"Cookie", line})
				}
				if got := send(r); got.status != 200 {
					t.Fatalf("%d %s", got.status, got.body)
				}
				seen := g.upstream.last(t).Header
				if got := strings.Join(seen["Cookie"], "; "); got != c.want || seen.Get("X-Who") != "alice" {
					t.Errorf("%q got the cookies %q, want alice with %q", seen.Get("X-Who"), got, c.want)
				}
				r.lines[0][1] = "Bearer " + alice + "x"
				if got := send(r); got.status != 401 {
					t.Errorf("with a header that is no good: %d, want 401 whatever the cookies are", got.status)
				}
			})
		})
	}
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		if got := send(wireRequest{method: "GET", target: "/", lines: [][2]string{{"Cookie", "ext=" + mallory}}}); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if who := g.upstream.last(t).Header.Get("X-Who"); who != "mallory" {
			t.Errorf("the cookie alone is %q's: this test shows nothing", who)
		}
	})
}
