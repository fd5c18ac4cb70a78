package caddymodule_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Many servers merge what comes after a body into the headers, and Caddy, which drops odd
// names there, leaves those in trailers alone: a client would say at the end of a request who it
// is, or bring a credential that nobody has verified.
func TestClientCannotSayWhoItIsInATrailer(t *testing.T) {
	g := startWire(t, guardedEnvironment, guardedSite)
	external := g.external("alice")
	names := slices.Concat(guardedNames, readNames, []string{"Authorization", "Proxy-Authorization", "Cookie"})
	for how, announced := range map[string]bool{"announced": true, "not announced": false} {
		t.Run(how, func(t *testing.T) {
			overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
				for _, name := range names {
					spellings := foldings(name)
					if strings.HasSuffix(name, "uthorization") && !strings.HasSuffix(t.Name(), "HTTP/1.1") {
						if got := send(withTrailers(external, spellings[:1], announced)); got.status == 200 {
							t.Errorf("%s, which is no trailer there, is taken for one", name)
						}
						spellings = spellings[1:]
					}
					for some := range slices.Chunk(spellings, 27) { // net/http takes trailers of 4 KiB
						r := withTrailers(external, some, announced)
						r.lines = append(r.lines, [2]string{"X-Try", t.Name() + some[0]})
						if got := send(r); got.status != 200 {
							t.Fatalf("%s: %d %s", name, got.status, got.body)
						}
						wantTrailers(t, g.upstream.tried(t, t.Name()+some[0]).Trailer, some, announced)
					}
				}
				empty := withTrailers(external, guardedNames[:1], announced)
				empty.body = "" // ends without a byte before the trailers
				empty.lines = append(empty.lines, [2]string{"X-Try", t.Name() + " empty"})
				if got := send(empty); got.status != 200 {
					t.Fatalf("an empty body: %d %s", got.status, got.body)
				}
				wantTrailers(t, g.upstream.tried(t, t.Name()+" empty").Trailer, guardedNames[:1], announced)
			})
		})
	}
	for _, seen := range g.upstream.all() { // of a request that breaks off at its trailers, the rest arrives
		for name, values := range seen.Trailer {
			if slices.Contains(values, "forged") {
				t.Errorf("the upstream got the trailer %s", name)
			}
		}
	}
}

// withTrailers is a request that ends with these names, and with as many neighbours of them.
func withTrailers(external string, names []string, announced bool) wireRequest {
	honest := neighbours(names)
	announcement := "X-Honest" // with one announced, net/http takes them all in HTTP/1.1
	if announced {
		announcement = strings.Join(slices.Concat(names, honest), ",")
	}
	return wireRequest{
		method: "POST", target: "/", body: "pay",
		lines:    [][2]string{{"Cookie", "ext=" + external}, {"Trailer", announcement}},
		trailers: append(forged(names, "forged"), forged(honest, "honest")...),
	}
}

// wantTrailers fails the test if one of these names, in any letter case, is a trailer, or
// if one beside them that was announced is none.
func wantTrailers(t *testing.T, trailer http.Header, names []string, announced bool) {
	t.Helper()
	arrived := map[string]bool{}
	for name := range trailer {
		arrived[strings.ToLower(name)] = true
	}
	for _, name := range names {
		if arrived[strings.ToLower(name)] {
			t.Errorf("the upstream got the trailer %s", name)
		}
		if announced && !arrived[strings.ToLower(neighbour(name))] {
			t.Errorf("the trailer %s, which is nobody's, did not arrive", neighbour(name))
		}
	}
}

// all are the requests that reached the upstream, also those that ended in the middle.
func (u *upstream) all() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.seen)
}

// tried is the request with this X-Try: one that ended in the middle may arrive after the next.
func (u *upstream) tried(t *testing.T, name string) *http.Request {
	t.Helper()
	for _, r := range u.all() {
		if r.Header.Get("X-Try") == name {
			return r
		}
	}
	t.Fatal("the request did not reach the upstream")
	return nil
}

func neighbours(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = neighbour(name)
	}
	return all
}
