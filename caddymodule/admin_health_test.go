package caddymodule_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-byoa/caddy-byoa/caddymodule"
	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

// health is what the admin API says of all environments.
type health struct {
	Healthy      bool
	Environments []struct {
		Name, ID         string
		Healthy, Enabled bool
		Providers        []struct {
			Issuer        string
			Healthy       bool
			Keys          int
			Fetched, Next time.Time
			Age           float64 `json:"age_seconds"`
			Error         string
		}
		Store struct {
			Store   string
			Healthy bool
			Error   string
		}
		SigningKeys rotation `json:"signing_keys"`
	}
}

// health waits for an answer of this status: a machine that is slow may need more than
// one look to fetch keys, or to write within the time that a health check allows.
func (g *running) health(status int) health {
	g.t.Helper()
	var got response
	pollUntil(g.t, fmt.Sprintf("health is answered with %d", status), func() bool {
		got = g.do(request{path: "/byoa/health", at: g.admin})
		return got.status == status
	})
	var h health
	if err := json.Unmarshal([]byte(got.raw), &h); err != nil {
		g.t.Fatal(err)
	}
	if h.Healthy != (status == 200) {
		g.t.Errorf("healthy is %t with status %d", h.Healthy, status)
	}
	return h
}

func TestAdminHealth(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	g.signIn("alice") // so that the issuer's keys are here
	h := g.health(200)
	if len(h.Environments) != 1 {
		t.Fatalf("%d environments, want 1", len(h.Environments))
	}
	e := h.Environments[0]
	if e.Name != "default" || e.ID != environmentID || !e.Healthy || !e.Enabled || len(e.Providers) != 1 {
		t.Errorf("environment %+v", e)
	}
	p := e.Providers[0]
	if p.Issuer != g.issuer.URL() || !p.Healthy || p.Keys != 1 || p.Age < 0 || p.Error != "" || p.Fetched.IsZero() || !p.Next.After(p.Fetched) {
		t.Errorf("provider %+v", p)
	}
	if e.Store.Store != "file" || !e.Store.Healthy || e.Store.Error != "" {
		t.Errorf("store %+v", e.Store)
	}
	if k := e.SigningKeys; !k.Healthy || k.Algorithm != "ES256" || k.Current == "" || k.Since.IsZero() || !k.Rotates.After(k.Since) || k.Published != 1 {
		t.Errorf("signing keys %+v", k)
	}
	g.turn("disable", isOff)
	if e := g.health(200).Environments[0]; e.Enabled || !e.Healthy {
		t.Errorf("switched off: %+v, want it healthy and not enabled", e)
	}
}

// The issuer that is down is named, and takes no other environment with it.
func TestAdminHealthNamesTheIssuerThatIsDown(t *testing.T) {
	g := prepareAdmin(t)
	g.issuer.Fail(true)
	g.load(g.twoEnvironments(), plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 503, "keys_unavailable")
	h := g.health(503)
	if len(h.Environments) != 2 {
		t.Fatalf("%d environments, want 2", len(h.Environments))
	}
	down, well := h.Environments[0], h.Environments[1]
	if p := down.Providers[0]; down.Healthy || p.Healthy || p.Keys != 0 || !strings.Contains(p.Error, "503") || !p.Fetched.IsZero() || !down.Store.Healthy {
		t.Errorf("the environment whose issuer is down: %+v", down)
	}
	if well.Name != "second" || !well.Healthy || !well.Providers[0].Healthy {
		t.Errorf("the other environment: %+v", well)
	}
}

// halting is a store whose probes wait, whatever their context says, while it is halted,
// and which can be made to fail.
type halting struct {
	gateway.Store
	probes atomic.Int64
	halt   atomic.Pointer[chan struct{}]
	fail   atomic.Bool
}

var errDiskFull = errors.New("the disk is full")

var halted halting

func (*halting) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "byoa.stores.test_halting", New: func() caddy.Module { return &halted }}
}

func (h *halting) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { d.Next(); return nil }

func (h *halting) OpenStore(caddymodule.Opening) (gateway.Store, error) {
	h.Store = store.NewMemory(store.MemoryConfig{})
	return h, nil
}

func (h *halting) Probe(context.Context) error {
	h.probes.Add(1)
	if wait := h.halt.Load(); wait != nil {
		<-*wait
	}
	if h.fail.Load() {
		return errDiskFull
	}
	return nil
}

func (h *halting) Revoke(ctx context.Context, r gateway.Revocation) error {
	if h.fail.Load() {
		return errDiskFull
	}
	return h.Store.Revoke(ctx, r)
}

func init() { caddy.RegisterModule(&halted) }

// startHalting runs two environments, the first of which has a store that can halt and fail.
func startHalting(t *testing.T) *running {
	t.Helper()
	g := prepareAdmin(t)
	second := strings.Replace(g.twoEnvironments(), plainEnvironment, "", 1)
	g.load(`environment {
			id `+environmentID+`
			issuer `+g.issuer.URL()+`
			jwks_url `+g.issuer.JWKSURL()+`
			store test_halting
		}`+second, plainSite)
	return g
}

// A store that hangs must not look like a gateway that is gone, nor gather everybody who
// asks after it. Without a bound, the answers would not come until the test gives up.
func TestAdminHealthWhileAStoreHangs(t *testing.T) {
	g := startHalting(t)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
	g.health(200)

	release := make(chan struct{})
	halted.halt.Store(&release)
	defer halted.halt.Store(nil)
	halted.probes.Store(0)
	var asking sync.WaitGroup
	for range 5 {
		asking.Go(func() {
			got := g.do(request{path: "/byoa/health", at: g.admin})
			if got.status != 503 || !strings.Contains(got.raw, `"store":{"store":"test_halting","healthy":false,"error":"the store does not answer"}`) {
				t.Errorf("%d %s, want 503 and that the store does not answer", got.status, got.raw)
			}
		})
	}
	asking.Wait()
	pollUntil(t, "the other environment is healthy beside it", func() bool { return g.health(503).Environments[1].Healthy })
	if n := halted.probes.Load(); n != 1 {
		t.Errorf("%d probes wait for the store, want 1", n)
	}
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
	close(release)
	halted.halt.Store(nil)
	g.health(200)

	halted.fail.Store(true)
	defer halted.fail.Store(false)
	if s := g.health(503).Environments[0].Store; s.Error != errDiskFull.Error() {
		t.Errorf("store %+v, want its own error", s)
	}
}

// Whoever asks for an end must not be told that it has come where it has not, and an
// environment that cannot do it keeps none of the others from doing it.
func TestAdminActionsThatFail(t *testing.T) {
	g := startHalting(t)
	session := g.signIn("alice")
	sid, user := claim(t, session, "sid"), claim(t, session, "sub")
	halted.fail.Store(true)
	defer halted.fail.Store(false)
	g.refused(request{method: "POST", path: on("default", "disable")}, 503, "the disk is full")
	g.refused(request{method: "POST", path: on("default", "enable")}, 503, "the disk is full")
	for _, path := range []string{"/byoa/sessions/" + sid, "/byoa/users/" + user + "/sessions"} {
		got := g.refused(request{method: "DELETE", path: path}, 503, "not revoked everywhere; try again: environment default: ")
		if !strings.Contains(got.raw, "the disk is full") || strings.Contains(got.raw, "environment second") {
			t.Errorf("%s: %s, want the cause, and nothing about the other environment", path, got.raw)
		}
	}
	g.want(request{path: "/wallets/1", bearer: session}, 200, "")
	for _, what := range []decision{{Session: sid}, {User: user}} {
		what.Decision, what.Result = "revoke", "ok"
		if !slices.Contains(g.decisions("second"), what) {
			t.Errorf("the second environment has not done its part: %+v", what)
		}
	}
	halted.fail.Store(false)
	g.ask(request{method: "DELETE", path: "/byoa/sessions/" + sid}, 204)
	g.want(request{path: "/wallets/1", bearer: session}, 401, "session_revoked")
}
