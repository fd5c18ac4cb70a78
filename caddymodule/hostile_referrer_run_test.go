package caddymodule_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// A page that was opened with the token in its query has it in the Referer of all that it loads. The
// upstream got it there, by way of whatever gate, or beside them.
func TestQueryTokenDoesNotGoOnInTheReferer(t *testing.T) {
	g := start(t, plainEnvironment, `
	handle /page/* {
		byoa {
			allow_query tok
		}
		reverse_proxy {{upstream}}
	}
	handle /kept/* {
		byoa {
			allow_query kept
			keep_external
			token_header X-Session
		}
		reverse_proxy {{upstream}}
	}
	handle {
		byoa /api/*
		reverse_proxy {{upstream}}
	}`)
	const page = "https://app.example.com/page/x"
	alice := g.external("alice")
	for _, path := range []string{"/page/x", "/api/x", "/public", "/kept/x"} {
		for _, c := range []struct{ query, want string }{
			{"?a=b&tok=" + alice + "&c=d", "?a=b&c=d"},
			{"?tok=" + alice, ""},
			{"?t%6Fk=" + alice + ";e", "?e"},
			{"?kept=" + alice + "&tok=" + alice, ""},
			{"?a=b?&tok=" + alice, "?a=b?"},
			{"?a=b&Tok=1", "?a=b&Tok=1"},
			{"?", "?"},
			{"", ""},
		} {
			g.want(request{path: path, bearer: alice, header: http.Header{"Referer": {page + c.query}}}, 200, "")
			if got := g.upstream.last(t).Header["Referer"]; !slices.Equal(got, []string{page + c.want}) {
				t.Errorf("%s with %d bytes of query: the upstream got a Referer of %d bytes, want %q", path, len(c.query), len(strings.Join(got, "")), c.want)
			}
		}
	}
	kept := "?kept=" + alice // what the gate passes on anyway
	g.want(request{path: "/kept/x" + kept, header: http.Header{"Referer": {page + kept + "&tok=" + alice}}}, 200, "")
	if got := g.upstream.last(t).Referer(); got != page+kept {
		t.Errorf("the upstream that gets the token in the query got a Referer of %d bytes, want %d", len(got), len(page+kept))
	}
}
