package caddymodule_test

import (
	"bufio"
	"context"
	"net/http"
	"testing"
	"time"
)

// An event stream is the answer to one decision, and goes on for hours: it must end when
// the decision would no longer be the same.
func TestEventStreamsEndWithTheirSession(t *testing.T) {
	for name, end := range map[string]func(g *running, token string){
		"revoked": func(g *running, token string) {
			g.want(request{method: "POST", path: "/api/v0/sdk/" + environmentID + "/revoke", bearer: token}, 204, "")
		},
		"expired": func(*running, string) {}, // by itself, soon
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, plainEnvironment, `byoa_api
	handle /limited/* {
		byoa
		reverse_proxy {{upstream}}
	}
	handle /unlimited/* {
		byoa {
			stream_lifetime unlimited
		}
		reverse_proxy {{upstream}}
	}`)
			b := g.broadcast()
			token := g.external("alice", map[string]any{"exp": time.Now().Add(15 * time.Second).Unix()})
			if name == "revoked" {
				token = g.external("alice")
			}
			quiet, limited, unlimited := g.stream("/limited/quiet", token), g.stream("/limited/stream", token), g.stream("/unlimited/stream", token)
			for _, s := range []eventStream{quiet, limited, unlimited} {
				b.wantOpen(t, s, "first")
			}
			end(g, token)
			wantClosed(t, "a session, which has nothing more to say,", quiet)
			wantClosed(t, "a session", limited)
			b.wantOpen(t, unlimited, "after the session")
		})
	}
}

// eventStream is a response that is still being read.
type eventStream struct{ *bufio.Reader }

func (g *running) stream(path, token string) eventStream {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	g.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.address+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		g.t.Fatalf("%s: %d", path, res.StatusCode)
	}
	return eventStream{bufio.NewReader(res.Body)}
}
