package caddymodule_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
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
	handle /limited {
		byoa
		reverse_proxy {{upstream}}
	}
	handle /unlimited {
		byoa {
			stream_lifetime unlimited
		}
		reverse_proxy {{upstream}}
	}`)
			ticks := make(chan struct{})
			g.upstream.answer(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				for n := 0; ; n++ {
					_, _ = fmt.Fprintf(w, "data: %d\n\n", n)
					w.(http.Flusher).Flush()
					select {
					case <-ticks:
					case <-r.Context().Done():
						return
					}
				}
			})
			token := g.external("alice", map[string]any{"exp": time.Now().Add(15 * time.Second).Unix()})
			if name == "revoked" {
				token = g.external("alice")
			}
			limited, unlimited := g.stream("/limited", token), g.stream("/unlimited", token)
			limited.next(t)
			unlimited.next(t)
			end(g, token)
			if rest, err := io.ReadAll(limited); err == nil && len(rest) > 0 {
				t.Errorf("the stream went on: %q", rest)
			}
			go func() { // until the test ends: the upstream's other half may take some before it notices
				for {
					select {
					case ticks <- struct{}{}:
					case <-t.Context().Done():
						return
					}
				}
			}()
			unlimited.next(t)
		})
	}
}

// eventStream is a response that is still being read.
type eventStream struct{ *bufio.Reader }

func (g *running) stream(path, token string) eventStream {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
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

// next waits for one event.
func (s eventStream) next(t *testing.T) {
	t.Helper()
	for range 2 { // the line and the empty one after it
		if _, err := s.ReadString('\n'); err != nil {
			t.Fatalf("waiting for an event: %v", err)
		}
	}
}
