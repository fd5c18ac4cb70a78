package caddymodule_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

func init() { caddy.RegisterModule(eventRecorder{}) }

// recorded is what the handlers of these tests have received.
var recorded struct {
	sync.Mutex
	events []caddy.Event
	block  chan struct{} // what a handler that blocks waits for
}

// eventRecorder is a handler of events: `byoa_recorder`, and then `panics` or `blocks` if it does so first.
type eventRecorder struct {
	Does string `json:"does,omitempty"`
}

func (eventRecorder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.byoa_recorder", New: func() caddy.Module { return new(eventRecorder) }}
}

func (r *eventRecorder) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	d.Args(&r.Does)
	return nil
}

func (r *eventRecorder) Handle(_ context.Context, e caddy.Event) error {
	recorded.Lock()
	recorded.events = append(recorded.events, e)
	block := recorded.block
	recorded.Unlock()
	switch r.Does {
	case "panics":
		panic("of a handler")
	case "blocks":
		<-block
	}
	return nil
}

var _ caddyevents.Handler = (*eventRecorder)(nil)

// recordEvents begins to record anew.
func recordEvents() {
	recorded.Lock()
	defer recorded.Unlock()
	recorded.events, recorded.block = nil, make(chan struct{})
}

// wantEvents waits for events of these names, and for no other of this product.
func wantEvents(t *testing.T, names ...string) []caddy.Event {
	t.Helper()
	var got []caddy.Event
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && len(got) < len(names); time.Sleep(5 * time.Millisecond) {
		recorded.Lock()
		got = append([]caddy.Event(nil), recorded.events...)
		recorded.Unlock()
	}
	var have []string
	for _, e := range got {
		have = append(have, e.Name())
	}
	if fmt.Sprint(have) != fmt.Sprint(names) {
		t.Fatalf("events %v, want %v", have, names)
	}
	return got
}

func withEvents(t *testing.T, lines ...string) *running {
	g := prepare(t)
	recordEvents()
	g.options = "events {\n\t\t" + strings.Join(lines, "\n\t\t") + "\n\t}"
	return g
}

func allEvents(does string) []string {
	var lines []string
	for _, name := range []string{"replay_detected", "jwks_refresh_failed", "key_rotated", "session_revoked"} {
		lines = append(lines, "on byoa."+name+" byoa_recorder "+does)
	}
	return lines
}

func TestEvents(t *testing.T) {
	g := withEvents(t, allEvents("")...)
	g.admin = freeport.Address(t)
	g.load(plainEnvironment, plainSite)
	session := g.signIn("alice")
	elevated := g.elevate(session, "alice", "wallet:export")
	export := request{method: "POST", path: "/wallets/1/export", bearer: session}
	for _, r := range []request{{elevated: elevated}, {assertion: g.assertion("alice", "wallet:export")}} {
		r.method, r.path, r.bearer = export.method, export.path, export.bearer
		g.want(r, 200, "")
		if again := g.do(r); again.status == 200 {
			t.Fatal("the second use was let through")
		}
	}
	g.want(request{at: g.admin, method: "POST", path: "/byoa/environments/default/keys/rotate", header: http.Header{"Origin": {"http://" + g.admin}}}, 200, "")
	g.refused(request{method: "DELETE", path: "/byoa/sessions/nobody"}, 400, "no session id") // is no revocation
	g.want(request{method: "POST", path: "/api/v0/sdk/" + environmentID + "/revoke", bearer: session}, 204, "")
	got := wantEvents(t, "byoa.replay_detected", "byoa.replay_detected", "byoa.key_rotated", "byoa.session_revoked")

	claims := claimsOf(t, session)
	for i, want := range []map[string]any{
		{"environment": "default", "user": claims["sub"], "session": claims["sid"], "code": "elevated_used", "jti": claimsOf(t, elevated)["jti"]},
		{"environment": "default", "user": claims["sub"], "session": claims["sid"], "code": "replayed", "jti": got[1].Data["jti"]},
		{"environment": "default", "kid": got[2].Data["kid"]},
		{"environment": "default", "user": claims["sub"], "session": claims["sid"]},
	} {
		if fmt.Sprint(got[i].Data) != fmt.Sprint(want) {
			t.Errorf("%s has %v, want %v", got[i].Name(), got[i].Data, want)
		}
		if origin := got[i].Origin(); origin == nil || origin.CaddyModule().ID != "byoa" {
			t.Errorf("%s comes from %v, want the app byoa", got[i].Name(), origin)
		}
		for _, token := range append(g.secrets, g.upstream.tokens()...) {
			if shownSegment(fmt.Sprint(got[i].Data), token) != "" {
				t.Errorf("%s shows a part of a token", got[i].Name())
			}
		}
	}
	if got[1].Data["jti"] == nil || got[2].Data["kid"] == nil {
		t.Errorf("no jti in %v, or no kid in %v", got[1].Data, got[2].Data)
	}
}

// The first fetch fails while the config is still being started: whoever subscribed is told all the same.
func TestEventOfTheFirstFetch(t *testing.T) {
	g := withEvents(t, allEvents("")...)
	g.issuer.Fail(true)
	g.load(plainEnvironment, plainSite)
	got := wantFirstEvent(t)
	if got.Name() != "byoa.jwks_refresh_failed" || got.Data["provider"] != g.issuer.URL() || got.Data["environment"] != "default" || got.Data["error"] == "" {
		t.Errorf("event %s with %v", got.Name(), got.Data)
	}
}

// wantFirstEvent waits for one: the fetch is tried again, and fails again, at its own pace.
func wantFirstEvent(t *testing.T) caddy.Event {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		recorded.Lock()
		events := recorded.events
		recorded.Unlock()
		if len(events) > 0 {
			return events[0]
		}
	}
	t.Fatal("no event")
	return caddy.Event{}
}

// signInAndRevoke causes one event. The JWT that a user signed in with is revoked too, so each user can do it once.
func (g *running) signInAndRevoke(user string) {
	g.t.Helper()
	g.want(request{method: "POST", path: "/api/v0/sdk/" + environmentID + "/revoke", bearer: g.signIn(user)}, 204, "")
}

func TestHandlerOfAnEventThatPanics(t *testing.T) {
	g := withEvents(t, allEvents("panics")...)
	g.load(plainEnvironment, plainSite)
	g.signInAndRevoke("alice")
	g.signInAndRevoke("bob")
	wantEvents(t, "byoa.session_revoked", "byoa.session_revoked")
}

// However slow a handler is, requests are answered, and the events wait, in their order and not without end.
func TestHandlerOfAnEventThatBlocks(t *testing.T) {
	g := withEvents(t, allEvents("blocks")...)
	g.load(plainEnvironment, plainSite)
	const revoked = 5
	for i := range revoked {
		g.signInAndRevoke(fmt.Sprint("user-", i))
	}
	wantEvents(t, "byoa.session_revoked") // the others wait
	recorded.Lock()
	close(recorded.block)
	recorded.Unlock()
	names := make([]string, revoked)
	for i := range names {
		names[i] = "byoa.session_revoked"
	}
	wantEvents(t, names...)
}

// After a reload the handlers of the new config are told, and those of the old one no more.
func TestEventsGoToTheConfigInForce(t *testing.T) {
	g := withEvents(t, allEvents("")...)
	g.load(plainEnvironment, plainSite)
	g.signInAndRevoke("alice")
	wantEvents(t, "byoa.session_revoked")
	g.options = ""
	g.load(plainEnvironment, plainSite+"\n\theader X-Config two")
	g.signInAndRevoke("bob")
	g.options = "events {\n\ton byoa.session_revoked byoa_recorder\n}"
	g.load(plainEnvironment, plainSite+"\n\theader X-Config three")
	g.signInAndRevoke("carol")
	wantEvents(t, "byoa.session_revoked", "byoa.session_revoked")
}
