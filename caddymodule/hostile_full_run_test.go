package caddymodule_test

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-byoa/caddy-byoa/caddymodule"
	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

// A smallStore is the memory or, with a path, the file store with room for few entries, so
// that a test can fill it.
type smallStore struct {
	Room int    `json:"room"`
	Path string `json:"path,omitempty"`
}

func (smallStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "byoa.stores.test_small", New: func() caddy.Module { return new(smallStore) }}
}

func init() { caddy.RegisterModule(smallStore{}) }

func (s *smallStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args := d.RemainingArgs()
	if len(args) > 1 {
		s.Path = args[1]
	}
	return json.Unmarshal([]byte(args[0]), &s.Room)
}

func (s *smallStore) OpenStore(o caddymodule.Opening) (gateway.Store, error) {
	if s.Path == "" {
		return caddymodule.Share(o, "store small", func() (*store.Memory, func() error, error) {
			m := store.NewMemory(store.MemoryConfig{Capacity: s.Room})
			return m, m.Close, nil
		})
	}
	return caddymodule.Share(o, "store small "+s.Path, func() (*store.File, func() error, error) {
		f, err := store.OpenFile(store.FileConfig{Path: s.Path, Capacity: s.Room})
		if err != nil {
			return nil, nil, err
		}
		return f, f.Close, nil
	})
}

// startSmall runs a gateway whose store has room for so many that were used up, and apart
// from these for as many revocations.
func startSmall(t *testing.T, kind string, room int) *running {
	t.Helper()
	g := prepareAdmin(t)
	line := "store test_small " + strconv.Itoa(room)
	if kind == "file" {
		line += " " + filepath.Join(g.storage(), "small.db")
	}
	g.load("environment"+g.policy(line, "scope wallet:export", "scope wallet:sign {\nmulti_use\n}"), plainSite)
	return g
}

// wantFull fails the test unless a request is refused because the store is full, and has
// bought nothing: neither a token nor a way to the upstream.
func (g *running) wantFull(r request) {
	g.t.Helper()
	before := g.upstream.count()
	got := g.want(r, 503, "store_unavailable")
	if got.header.Get("Retry-After") == "" || strings.Contains(got.raw, "elevatedAccessToken") || g.upstream.count() != before {
		g.t.Errorf("Retry-After %q, %d requests upstream, %s", got.header.Get("Retry-After"), g.upstream.count()-before, got.raw)
	}
}

// Whoever can sign in can fill the record of what was used up. If it then forgot, or let
// on what it cannot record, they could use one permission again and again. (go-authcrunch #100.)
func TestFullStoreLetsNothingThrough(t *testing.T) {
	for _, kind := range []string{"memory", "file"} {
		t.Run(kind, func(t *testing.T) {
			const room = 4 // three assertions that bought tokens, and one of the tokens
			g := startSmall(t, kind, room)
			user := g.signIn("alice")
			export := request{method: "POST", path: "/wallets/1/export", bearer: user}
			used, spare := export, export
			used.elevated, spare.elevated = g.elevate(user, "alice", "wallet:export"), g.elevate(user, "alice", "wallet:export")
			many := request{method: "POST", path: "/wallets/1/sign", bearer: user, elevated: g.elevate(user, "alice", "wallet:sign")}
			inline, endpoint := export, posted("/externalAuth/verify", request{bearer: user, body: bodyOf(g.assertion("alice", "wallet:export"))})
			inline.assertion = g.assertion("alice", "wallet:export")
			g.want(used, 200, "") // the last place

			for range 2 {
				g.wantFull(spare)
				g.wantFull(inline)
				g.wantFull(endpoint)
				g.want(used, 403, "elevated_used") // what was used stays used
			}
			g.want(request{path: "/wallets/1", bearer: user}, 200, "") // what needs no record goes on
			g.want(request{path: "/wallets/1", bearer: g.external("bob")}, 200, "")
			g.want(many, 200, "")
			g.signIn("carol")
			g.want(request{path: "/wallets/1", bearer: g.refreshed(user)}, 200, "")
			if e := g.health(503).Environments[0]; e.Store.Healthy || !strings.Contains(e.Store.Error, "full") {
				t.Errorf("health says of the store: %+v, want that it is full", e.Store)
			}
		})
		t.Run(kind+", control: one place is free", func(t *testing.T) {
			const room = 5
			g := startSmall(t, kind, room)
			user := g.signIn("alice")
			export := request{method: "POST", path: "/wallets/1/export", bearer: user}
			used, spare := export, export
			used.elevated, spare.elevated = g.elevate(user, "alice", "wallet:export"), g.elevate(user, "alice", "wallet:export")
			g.elevate(user, "alice", "wallet:sign")
			g.want(used, 200, "")
			g.health(200)
			g.want(spare, 200, "")
			g.want(spare, 403, "elevated_used")
			another := export
			another.assertion = g.assertion("alice", "wallet:export")
			g.wantFull(another)
		})
	}
}

// An assertion that comes with the request needs two places: one for itself, and one for the
// token that it buys. Where there is one alone it must not pass for the sake of the other.
func TestStepUpThatHalfFitsIsNone(t *testing.T) {
	g := startSmall(t, "memory", 1)
	r := request{method: "POST", path: "/wallets/1/export", bearer: g.signIn("alice"), assertion: g.assertion("alice", "wallet:export")}
	g.wantFull(r)
	g.want(r, 401, "replayed")

	g = startSmallAgain(g, 2)
	r.bearer, r.assertion = g.signIn("alice"), g.assertion("alice", "wallet:export")
	g.want(r, 200, "")
}

// startSmallAgain has a store with other room in the place of the one before.
func startSmallAgain(g *running, room int) *running {
	g.t.Helper()
	if err := caddy.Stop(); err != nil {
		g.t.Fatal(err)
	}
	g.load("environment"+g.policy("store test_small "+strconv.Itoa(room), "scope wallet:export"), plainSite)
	return g
}

// Who signs out must not be told that they have where nothing keeps it. What an operator
// ends still finds room: it is for them to put things right.
func TestFullStoreDoesNotPretendThatSomebodySignedOut(t *testing.T) {
	for _, kind := range []string{"memory", "file"} {
		t.Run(kind, func(t *testing.T) {
			g := startSmall(t, kind, 20) // and a tenth of that for operators
			leaving, next, other := g.signIn("alice"), g.signIn("bob"), g.signIn("carol")
			g.revoke(leaving) // control: there is room
			g.want(request{path: "/wallets/1", bearer: leaving}, 401, "session_revoked")
			others := 0
			pollUntil(t, "the record of revocations is full", func() bool {
				others++
				another := g.signIn("user-" + strconv.Itoa(others))
				return g.do(posted("/revoke", request{bearer: another})).status == 503
			})
			g.wantFull(posted("/revoke", request{bearer: next}))
			g.want(request{path: "/wallets/1", bearer: next}, 200, "") // and so it is
			g.want(request{path: "/wallets/1", bearer: leaving}, 401, "session_revoked")

			g.ask(request{method: "DELETE", path: "/byoa/sessions/" + claim(t, other, "sid")}, 204)
			g.want(request{path: "/wallets/1", bearer: other}, 401, "session_revoked")
		})
	}
}
