package verifier_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// These tests run in bubbles of their own time, so that a day passes at once; that
// no goroutine outlives its key set, each bubble sees to by itself. In a bubble there
// is no network, so an issuer is reached in memory.

// An origin is what the key set fetches from.
type origin struct {
	key *verifiertest.Key

	mu      sync.Mutex // guards all below
	jwks    []byte
	down    bool
	takes   time.Duration
	hangs   bool // in the middle of the body
	header  http.Header
	fetches int
}

func newOrigin(t *testing.T) *origin {
	o := &origin{header: make(http.Header)}
	o.rotate(t)
	return o
}

func (o *origin) rotate(t *testing.T) {
	key := verifiertest.NewKey(t, "ES256")
	o.set(func() { o.key, o.jwks = key, verifiertest.JWKS(t, key.JWK()) })
}

func (o *origin) set(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

func (o *origin) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fetches
}

func (o *origin) RoundTrip(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.fetches++
	jwks, down, takes, hangs, header := o.jwks, o.down, o.takes, o.hangs, o.header.Clone()
	o.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if down {
		return nil, errors.New("connection refused")
	}
	var body io.Reader = bytes.NewReader(jwks)
	if hangs {
		body = io.MultiReader(body, hang{r.Context()})
	}
	return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(body), Request: r}, nil
}

// hang is a body that never ends, as net/http reads it: until the context does.
type hang struct{ ctx context.Context }

func (h hang) Read([]byte) (int, error) {
	<-h.ctx.Done()
	return 0, h.ctx.Err()
}

const originIssuer = "https://issuer.example"

// config returns a config by which a key set fetches from o.
func (o *origin) config() verifier.RemoteConfig {
	return verifier.RemoteConfig{
		URL: "https://issuer.example/jwks", Issuer: originIssuer, Client: &http.Client{Transport: o},
	}
}

// token returns a token signed with the present key, good for ten years.
func (o *origin) token(t *testing.T) string {
	t.Helper()
	return o.key.Token(nil, map[string]any{"iss": originIssuer, "sub": "user-1", "exp": time.Now().AddDate(10, 0, 0).Unix()})
}

func bubble(t *testing.T, run func(t *testing.T, o *origin)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { run(t, newOrigin(t)) })
}

// start returns a key set and a verifier on it.
func start(t *testing.T, cfg verifier.RemoteConfig) (*verifier.RemoteKeySet, *verifier.Verifier) {
	t.Helper()
	keys := remote(t, cfg)
	return keys, newVerifier(t, originIssuer, keys)
}

func verify(t *testing.T, v *verifier.Verifier, token string, want verifier.Code) error {
	t.Helper()
	_, err := v.Verify(t.Context(), token)
	wantCode(t, err, want)
	return err
}

// An outage of the issuer must not become an outage of the gateway, but a set that
// nobody has confirmed for a day is no longer believed.
func TestRemoteStaleSetServesThenStops(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		keys, v := start(t, o.config())
		token := o.token(t)
		claims, err := v.Verify(t.Context(), token)
		wantCode(t, err, "")
		o.set(func() { o.down = true })

		time.Sleep(24*time.Hour - time.Second)
		verify(t, v, token, "")
		if got := keys.Status(); got.Err == nil || got.Keys != 1 || got.Age != 24*time.Hour-time.Second {
			t.Errorf("got status %+v, want an error, one key, and its age", got)
		}
		time.Sleep(time.Second)
		verify(t, v, token, verifier.CodeKeysUnavailable)
		if keys.Holds(claims.Key) || keys.Status().Keys != 0 {
			t.Error("the set still holds a key that is too old to serve")
		}

		o.set(func() { o.down = false })
		time.Sleep(time.Minute)
		verify(t, v, token, "")
	})
}

// Large issuers let their sets be kept for a day and longer. That must not spend the
// time which a set has for outliving an outage.
func TestRemoteStaleSetServesThoughItMayBeKeptForLong(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		o.header.Set("Cache-Control", "public, max-age=86400")
		keys, v := start(t, o.config())
		token := o.token(t)
		verify(t, v, token, "")
		o.set(func() { o.down = true })

		time.Sleep(12*time.Hour + time.Minute)
		if err := keys.Status().Err; err == nil {
			t.Fatal("nothing was fetched in twelve hours")
		}
		time.Sleep(12*time.Hour - time.Minute - time.Second)
		verify(t, v, token, "")
		time.Sleep(time.Second)
		verify(t, v, token, verifier.CodeKeysUnavailable)
	})
}

// However long a response says that it may be kept, and however long the next takes,
// one set follows the other.
func TestRemoteNoGapBetweenTwoSets(t *testing.T) {
	for _, c := range []struct {
		name          string
		max, maxStale time.Duration
		want          time.Duration // between two fetches
	}{
		{"by default", 0, 0, 12 * time.Hour},
		{"as long as a set serves", time.Hour, time.Hour, 30 * time.Minute},
		{"longer than a set serves", 24 * time.Hour, 2 * time.Minute, time.Minute},
		{"shorter than a set serves", time.Hour, 3 * time.Hour, time.Hour},
		{"longer than a day", 72 * time.Hour, 144 * time.Hour, 72 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, o *origin) {
				o.header.Set("Cache-Control", "max-age=604800")
				cfg := o.config()
				cfg.MaxRefresh, cfg.MaxStale = c.max, c.maxStale
				keys, v := start(t, cfg)
				claims, err := v.Verify(t.Context(), o.token(t))
				wantCode(t, err, "")
				o.set(func() { o.takes = 4 * time.Second })
				for n := 1; n < 4; n++ {
					status := keys.Status()
					if got := status.Next.Sub(status.Fetched); got != c.want {
						t.Errorf("the next fetch is due %s after the last, want %s", got, c.want)
					}
					time.Sleep(time.Until(status.Next) - time.Second)
					for range 8 { // seconds: before, while and after the next is fetched
						if !keys.Holds(claims.Key) {
							t.Fatalf("the key is gone when the set is %s old", keys.Status().Age)
						}
						time.Sleep(time.Second)
					}
					if got := o.count(); got != n+1 {
						t.Fatalf("got %d fetches after %d intervals, want %d", got, n, n+1)
					}
				}
			})
		})
	}
}

// With no set at all the answer is "later", never "no", and it heals by itself.
func TestRemoteWithoutAnySet(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		o.down = true
		_, v := start(t, o.config())
		token := o.token(t)
		synctest.Wait()
		for range 100 {
			var verdict *verifier.Error
			err := verify(t, v, token, verifier.CodeKeysUnavailable)
			if !errors.As(err, &verdict) || verdict.RetryAfter < time.Second || verdict.RetryAfter > time.Minute {
				t.Fatalf("got %+v, want to retry within a minute", verdict)
			}
		}
		if got := o.count(); got != 1 {
			t.Errorf("got %d fetches, want 1: requests cause none", got)
		}
		o.set(func() { o.down = false })
		time.Sleep(time.Second)
		verify(t, v, token, "")
	})
}

// A hanging issuer holds callers no longer than Timeout, and shorter if they say so.
func TestRemoteHangingIssuer(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		o.takes = time.Hour
		_, v := start(t, o.config())
		token := o.token(t)
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := v.Verify(ctx, token)
		wantCode(t, err, verifier.CodeKeysUnavailable)
		if took := time.Since(begun); took != time.Second {
			t.Errorf("waited %s, want the second that the caller allows", took)
		}
		verify(t, v, token, verifier.CodeKeysUnavailable)
		if took := time.Since(begun); took > 6*time.Second {
			t.Errorf("waited until %s after the start, want at most the 5s of Timeout", took)
		}
	})
}

// An issuer that turns slow takes nothing away, and is given up after Timeout.
func TestRemoteSlowResponseKeepsTheLastGoodSet(t *testing.T) {
	for name, slow := range map[string]func(*origin){
		"before the header": func(o *origin) { o.takes = time.Hour },
		"within the body":   func(o *origin) { o.hangs = true },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, o *origin) {
				keys, v := start(t, o.config())
				verify(t, v, o.token(t), "")
				o.set(func() { slow(o) })
				begun := time.Now()
				if err := keys.Refresh(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want a fetch that ran out of time", err)
				}
				if took := time.Since(begun); took != 5*time.Second {
					t.Errorf("gave up after %s, want 5s", took)
				}
				verify(t, v, o.token(t), "")
			})
		})
	}
}

// Failed fetches are repeated ever less often, down to once in MinRefresh.
func TestRemoteBacksOff(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		o.down = true
		start(t, o.config())
		time.Sleep(10 * time.Second)
		if got := o.count(); got < 3 || got > 6 {
			t.Errorf("got %d fetches in the first 10s, want about four", got)
		}
		time.Sleep(10 * time.Minute)
		before := o.count()
		time.Sleep(time.Hour)
		if got := o.count() - before; got < 60 || got > 121 {
			t.Errorf("got %d fetches in an hour, want one or two a minute", got)
		}
	})
}

func TestRemoteUnknownKeyFloor(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		_, v := start(t, o.config())
		old := o.token(t)
		verify(t, v, old, "")
		o.rotate(t)
		verify(t, v, o.token(t), "")

		// The second rotation within ten seconds is not asked about.
		o.rotate(t)
		verify(t, v, o.token(t), verifier.CodeKeyNotFound)
		time.Sleep(10*time.Second - 1)
		verify(t, v, o.token(t), verifier.CodeKeyNotFound)
		if got := o.count(); got != 2 {
			t.Errorf("got %d fetches, want 2", got)
		}
		time.Sleep(time.Nanosecond)
		verify(t, v, o.token(t), "")
		verify(t, v, old, verifier.CodeKeyNotFound)
	})
}

// The regular fetch was answered just before the rotation. A token that waited for
// that one causes another.
func TestRemoteFetchUnderWayMayBeTooOld(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		_, v := start(t, o.config())
		verify(t, v, o.token(t), "")
		o.set(func() { o.takes = time.Second })
		time.Sleep(15 * time.Minute)
		synctest.Wait() // the second fetch is under way, and carries the old set
		o.rotate(t)
		verify(t, v, o.token(t), "")
		if got := o.count(); got != 3 {
			t.Errorf("got %d fetches, want 3", got)
		}
	})
}

func TestRemoteRefreshedReports(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		type report struct {
			keys   int
			failed bool
		}
		var reports []report
		cfg := o.config()
		cfg.Refreshed = func(keys int, err error) { reports = append(reports, report{keys, err != nil}) }
		keys, _ := start(t, cfg)
		synctest.Wait()
		o.set(func() { o.jwks = []byte(`{"keys":[]}`) })
		if err := keys.Refresh(t.Context()); err == nil {
			t.Error("an empty set was taken")
		}
		o.set(func() { o.jwks = verifiertest.JWKS(t, o.key.JWK(), verifiertest.NewKey(t, "EdDSA").JWK()) })
		if err := keys.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		keys.Close()
		want := []report{{1, false}, {1, true}, {2, false}}
		if len(reports) != 3 || reports[0] != want[0] || reports[1] != want[1] || reports[2] != want[2] {
			t.Errorf("got reports %v, want %v", reports, want)
		}
	})
}
