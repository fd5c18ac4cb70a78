package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// These tests fetch over real connections on loopback. What depends on the passing
// of time is in refresh_test.go.

func remote(t *testing.T, cfg verifier.RemoteConfig) *verifier.RemoteKeySet {
	t.Helper()
	keys, err := verifier.NewRemoteKeySet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keys.Close)
	return keys
}

func newVerifier(t *testing.T, issuer string, keys verifier.KeySet) *verifier.Verifier {
	t.Helper()
	v, err := verifier.New(verifier.Config{Issuer: issuer, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantCode(t *testing.T, err error, want verifier.Code) {
	t.Helper()
	if got := verifier.CodeOf(err); got != want {
		t.Errorf("got code %q, want %q (%v)", got, want, err)
	}
}

// stranger returns a token whose kid the issuer's set does not have.
func stranger(issuer *verifiertest.Issuer, kid string) string {
	return issuer.Sign(map[string]any{"kid": kid}, map[string]any{
		"iss": issuer.URL(), "sub": "user-1", "exp": time.Now().Add(time.Hour).Unix(),
	})
}

// A gate holds up an issuer's answers until it is opened.
type gate struct {
	server  *httptest.Server
	open    chan struct{}
	arrived chan struct{} // one for each request
	fetches atomic.Int32
}

func newGate(t *testing.T, issuer *verifiertest.Issuer) *gate {
	g := &gate{open: make(chan struct{}), arrived: make(chan struct{}, 1000)}
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		g.fetches.Add(1)
		g.arrived <- struct{}{}
		<-g.open
		_, _ = w.Write(issuer.JWKS())
	}))
	t.Cleanup(g.server.Close)
	return g
}

// After a restart a hundred requests come at once. They must not become a hundred fetches.
func TestRemoteManyCallersOneFetch(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	g := newGate(t, issuer)
	v := newVerifier(t, issuer.URL(), remote(t, verifier.RemoteConfig{URL: g.server.URL}))
	token := issuer.Token(nil)

	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			_, err := v.Verify(t.Context(), token)
			wantCode(t, err, "")
		})
	}
	<-g.arrived
	close(g.open)
	wg.Wait()
	if got := g.fetches.Load(); got != 1 {
		t.Errorf("got %d fetches, want 1", got)
	}
}

// An attacker who makes kids up must neither drum on the issuer nor hold up anybody.
func TestRemoteUnknownKidsOneFetchAndNobodyElseWaits(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	g := newGate(t, issuer)
	v := newVerifier(t, issuer.URL(), remote(t, verifier.RemoteConfig{URL: g.server.URL, Timeout: time.Minute}))
	good := issuer.Token(nil)
	g.open <- struct{}{}
	_, err := v.Verify(t.Context(), good)
	wantCode(t, err, "")
	<-g.arrived

	var wg sync.WaitGroup
	for i := range 500 {
		token := stranger(issuer, fmt.Sprint("made-up-", i))
		wg.Go(func() {
			_, err := v.Verify(t.Context(), token)
			wantCode(t, err, verifier.CodeKeyNotFound)
		})
	}
	<-g.arrived // the fetch is under way, and stays so until the gate opens
	for range 50 {
		_, err := v.Verify(t.Context(), good)
		wantCode(t, err, "")
	}
	close(g.open)
	wg.Wait()
	if got := g.fetches.Load(); got != 2 {
		t.Errorf("got %d fetches, want 2: the first, and one for all unknown kids", got)
	}
}

// The fetch belongs to the set: the first caller hangs up, the others still get keys.
func TestRemoteCallerWhoLeavesCancelsNothing(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	g := newGate(t, issuer)
	v := newVerifier(t, issuer.URL(), remote(t, verifier.RemoteConfig{URL: g.server.URL}))
	token := issuer.Token(nil)
	<-g.arrived

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := v.Verify(ctx, token)
	wantCode(t, err, verifier.CodeKeysUnavailable)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to wrap context.Canceled", err)
	}
	others := make(chan error)
	go func() {
		_, err := v.Verify(t.Context(), token)
		others <- err
	}()
	close(g.open)
	wantCode(t, <-others, "")
	if got := g.fetches.Load(); got != 1 {
		t.Errorf("got %d fetches, want 1", got)
	}
}

// The first request after a rotation must not be the one that is refused.
func TestRemoteRotationWorksOnTheFirstRequest(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	keys := remote(t, verifier.RemoteConfig{URL: issuer.JWKSURL()})
	v := newVerifier(t, issuer.URL(), keys)
	old := issuer.Token(nil)
	claims, err := v.Verify(t.Context(), old)
	wantCode(t, err, "")
	if !keys.Holds(claims.Key) {
		t.Error("the set does not hold the key it verified with")
	}

	issuer.Rotate()
	_, err = v.Verify(t.Context(), issuer.Token(nil))
	wantCode(t, err, "")

	// The key that left the set is dead, for remembered tokens too.
	if keys.Holds(claims.Key) {
		t.Error("the set still holds the removed key")
	}
	_, err = v.Verify(t.Context(), old)
	wantCode(t, err, verifier.CodeKeyNotFound)
}

// Without kids, a signature that no key verifies is all that a rotation shows.
func TestRemoteRotationWithoutKids(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL(), remote(t, verifier.RemoteConfig{URL: issuer.JWKSURL()}))
	token := func() string {
		return issuer.Sign(map[string]any{"kid": nil}, map[string]any{
			"iss": issuer.URL(), "sub": "user-1", "exp": time.Now().Add(time.Hour).Unix(),
		})
	}
	_, err := v.Verify(t.Context(), token())
	wantCode(t, err, "")
	issuer.Rotate()
	_, err = v.Verify(t.Context(), token())
	wantCode(t, err, "")
}

// A forged signature under a known kid is no reason to ask the issuer.
func TestRemoteForgedSignatureCausesNoFetch(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL(), remote(t, verifier.RemoteConfig{URL: issuer.JWKSURL()}))
	token := issuer.Token(nil)
	_, err := v.Verify(t.Context(), token)
	wantCode(t, err, "")
	forged := verifiertest.NewIssuer(t, verifiertest.WithIssuer(issuer.URL()))
	_, err = v.Verify(t.Context(), stranger(forged, issuer.Key().ID()))
	wantCode(t, err, verifier.CodeSignatureInvalid)
	if got := issuer.Fetches(); got != 1 {
		t.Errorf("got %d fetches, want 1", got)
	}
}

// Key sets are made and closed with every reload of a configuration. Whatever one
// leaves behind adds up.
func TestRemoteCloseLeavesNoGoroutine(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	token := issuer.Token(nil)
	for i := range 20 {
		cfg := verifier.RemoteConfig{URL: issuer.JWKSURL()}
		if i%2 == 0 {
			cfg.Client = &http.Client{Transport: &http.Transport{}} // which would keep connections
		}
		keys, err := verifier.NewRemoteKeySet(cfg)
		if err != nil {
			t.Fatal(err)
		}
		v := newVerifier(t, issuer.URL(), keys)
		_, err = v.Verify(t.Context(), token)
		wantCode(t, err, "")
		keys.Close()
		keys.Close() // twice is once
		_, err = v.Verify(t.Context(), token)
		wantCode(t, err, "")
		_, err = v.Verify(t.Context(), stranger(issuer, "unknown"))
		wantCode(t, err, verifier.CodeKeysUnavailable)
	}
	var left string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if left = strangers(); left == "" {
			return
		}
		time.Sleep(5 * time.Millisecond) // connections take a moment to be torn down
	}
	t.Errorf("goroutines left behind:\n%s", left)
}

// strangers returns the goroutines of key sets, and of HTTP clients on their behalf.
func strangers() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var found []string
	for goroutine := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(goroutine, "RemoteKeySet).") || strings.Contains(goroutine, "http.(*persistConn)") {
			found = append(found, goroutine)
		}
	}
	return strings.Join(found, "\n\n")
}

// Everything at once, for the race detector.
func TestRemoteConcurrentUse(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	keys := remote(t, verifier.RemoteConfig{URL: issuer.JWKSURL(), UnknownKey: time.Nanosecond})
	v := newVerifier(t, issuer.URL(), keys)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 20 {
				if err := keys.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
				claims, err := v.Verify(t.Context(), issuer.Token(nil))
				wantCode(t, err, "")
				keys.Holds(claims.Key)
				_, err = v.Verify(t.Context(), stranger(issuer, fmt.Sprint(i)))
				wantCode(t, err, verifier.CodeKeyNotFound)
				keys.Status()
			}
		})
	}
	wg.Wait()
}
