package verifier_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// A memory is a SnapshotStore that a restart leaves alone.
type memory struct {
	mu       sync.Mutex // guards all below
	snapshot verifier.Snapshot
	err      error
	saved    int

	takes time.Duration // both Load and Save
}

func (m *memory) Load(ctx context.Context) (verifier.Snapshot, error) {
	if err := m.work(ctx); err != nil {
		return verifier.Snapshot{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snapshot, m.err
}

func (m *memory) work(ctx context.Context) error {
	select {
	case <-time.After(m.takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *memory) Save(ctx context.Context, s verifier.Snapshot) error {
	if err := m.work(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snapshot = s
	m.saved++
	return m.err
}

// The gateway restarts while the issuer is down.
func TestRemoteSnapshotSurvivesARestart(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		cfg := o.config()
		cfg.Snapshots = &memory{}
		before, v := start(t, cfg)
		token := o.token(t)
		verify(t, v, token, "")
		before.Close()
		o.set(func() { o.down = true })

		// Its age goes on counting while nothing runs.
		time.Sleep(23 * time.Hour)
		_, v = start(t, cfg)
		verify(t, v, token, "")
		time.Sleep(time.Hour)
		verify(t, v, token, verifier.CodeKeysUnavailable)
	})
}

// A restart must not wait for a hanging issuer where the snapshot will do.
func TestRemoteSnapshotServesBeforeTheFirstFetch(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		cfg := o.config()
		cfg.Snapshots = &memory{}
		before, v := start(t, cfg)
		token := o.token(t)
		verify(t, v, token, "")
		before.Close()
		o.set(func() { o.takes = time.Hour })

		begun := time.Now()
		_, v = start(t, cfg)
		verify(t, v, token, "")
		if took := time.Since(begun); took != 0 {
			t.Errorf("waited %s for the first fetch", took)
		}
	})
}

// A reload closes the set just after it was fetched. The next start may need it.
func TestRemoteSnapshotIsSavedThoughTheSetIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		m := &memory{takes: time.Second}
		cfg := o.config()
		cfg.Snapshots = m
		keys, v := start(t, cfg)
		verify(t, v, o.token(t), "")
		synctest.Wait() // it is being saved
		keys.Close()
		if m.saved != 1 {
			t.Errorf("saved %d times, want once", m.saved)
		}
	})
}

// A storage that hangs delays nothing: neither the first fetch nor the next.
func TestRemoteSnapshotStoreThatHangs(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		o.takes = time.Second
		cfg := o.config()
		cfg.Snapshots = &memory{takes: time.Hour}
		_, v := start(t, cfg)
		begun := time.Now()
		verify(t, v, o.token(t), "")
		o.rotate(t)
		verify(t, v, o.token(t), "")
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("two fetches of a second took %s", took)
		}
	})
}

// A deaf storage does not heed its context.
type deaf struct {
	memory

	hears chan struct{} // closed when it answers at last
	calls atomic.Int32  // of Save
}

func (d *deaf) Save(_ context.Context, s verifier.Snapshot) error {
	d.calls.Add(1)
	<-d.hears
	return d.memory.Save(context.Background(), s)
}

// A reload must not wait for ever for a network file system that is gone, nor may each
// fetch leave a goroutine there.
func TestRemoteSnapshotStoreThatIsDeaf(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		d := &deaf{hears: make(chan struct{})}
		var last error
		cfg := o.config()
		cfg.Snapshots = d
		cfg.Refreshed = func(_ int, err error) { last = err }
		keys, v := start(t, cfg)
		for range 10 {
			if err := keys.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if got := d.calls.Load(); got != 1 {
			t.Errorf("the storage is called %d times at once, want once", got)
		}
		begun := time.Now()
		keys.Close()
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("closed after %s, want the 5s of Timeout", took)
		}
		if last == nil || !strings.Contains(last.Error(), "saving key snapshot") {
			t.Errorf("reported last %v, want that the snapshot is not saved", last)
		}
		verify(t, v, o.token(t), "")

		// What comes later may not replace what the next key set saved in the meantime.
		d.err, last = errors.New("too late"), nil
		close(d.hears)
		synctest.Wait()
		if got := d.calls.Load(); got != 1 || last != nil {
			t.Errorf("after the end: %d calls, want 1; reported %v, want nothing", got, last)
		}
	})
}

// The same with a storage that is deaf when it is to load.
type deafLoad struct{ hears chan struct{} }

func (d deafLoad) Load(context.Context) (verifier.Snapshot, error) {
	<-d.hears
	return verifier.Snapshot{}, errors.New("too late")
}

func (deafLoad) Save(context.Context, verifier.Snapshot) error { return errors.New("not reached") }

func TestRemoteSnapshotStoreThatIsDeafFromTheStart(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		d := deafLoad{make(chan struct{})}
		cfg := o.config()
		cfg.Snapshots = d
		keys, v := start(t, cfg)
		verify(t, v, o.token(t), "")
		begun := time.Now()
		keys.Close()
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("closed after %s, want the 5s of Timeout", took)
		}
		close(d.hears)
	})
}

// While one set is saved others come. The newest of them is saved, and only that.
func TestRemoteSnapshotOfTheNewestSetIsSaved(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		m := &memory{takes: time.Second}
		cfg := o.config()
		cfg.Snapshots = m
		keys, _ := start(t, cfg)
		time.Sleep(1500 * time.Millisecond) // it is loaded, and the first is being saved
		for range 5 {
			o.rotate(t)
			if err := keys.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		}
		keys.Close()
		if m.saved != 2 {
			t.Errorf("saved %d times, want 2", m.saved)
		}
		saved, err := verifier.ParseKeySet(m.snapshot.Keys)
		must(t, err)
		verify(t, newVerifier(t, originIssuer, saved), o.token(t), "")
	})
}

// Where both hang, a caller waits no longer than Timeout.
func TestRemoteEverythingHangs(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		o.takes = time.Hour
		cfg := o.config()
		cfg.Snapshots = &memory{takes: time.Hour}
		_, v := start(t, cfg)
		begun := time.Now()
		verify(t, v, o.token(t), verifier.CodeKeysUnavailable)
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("waited %s, want the 5s of Timeout", took)
		}
	})
}

// A fetch overtakes the snapshot, which then must not take its place.
func TestRemoteSnapshotThatComesTooLate(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		cfg := o.config()
		cfg.Snapshots = &memory{takes: time.Second, snapshot: verifier.Snapshot{
			Issuer: originIssuer, Source: sourceOf(cfg.URL), Fetched: time.Now(), Keys: o.jwks,
		}}
		old := o.token(t)
		o.rotate(t)
		_, v := start(t, cfg)
		verify(t, v, o.token(t), "")
		time.Sleep(2 * time.Second)
		verify(t, v, o.token(t), "")
		verify(t, v, old, verifier.CodeKeyNotFound)
	})
}

func sourceOf(url string) []byte {
	sum := sha256.Sum256([]byte(url))
	return sum[:]
}

type snapshotCase struct {
	name   string
	change func(*verifier.Snapshot)
	want   verifier.Code
}

func (c snapshotCase) run(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		o.down = true
		m := &memory{snapshot: verifier.Snapshot{
			Issuer: originIssuer, Source: sourceOf("https://issuer.example/jwks"), Fetched: time.Now().Add(-time.Hour), Keys: o.jwks,
		}}
		c.change(&m.snapshot)
		cfg := o.config()
		cfg.Snapshots = m
		_, v := start(t, cfg)
		verify(t, v, o.token(t), c.want)
	})
}

// Keys of one issuer must not come to serve another, nor old ones for ever.
func TestRemoteSnapshotIsBound(t *testing.T) {
	for _, c := range []snapshotCase{
		{"good", func(*verifier.Snapshot) {}, ""},
		{"of another issuer", func(s *verifier.Snapshot) { s.Issuer += "/" }, verifier.CodeKeysUnavailable},
		{"of another URL", func(s *verifier.Snapshot) { s.Source = sourceOf("https://issuer.example/jwks/") }, verifier.CodeKeysUnavailable},
		{"too old", func(s *verifier.Snapshot) { s.Fetched = s.Fetched.Add(-23 * time.Hour) }, verifier.CodeKeysUnavailable},
		{"without a date", func(s *verifier.Snapshot) { s.Fetched = time.Time{} }, verifier.CodeKeysUnavailable},
		{"broken", func(s *verifier.Snapshot) { s.Keys = []byte("{") }, verifier.CodeKeysUnavailable},
		{"empty", func(s *verifier.Snapshot) { *s = verifier.Snapshot{} }, verifier.CodeKeysUnavailable},
	} {
		t.Run(c.name, c.run)
	}
}

// A date in the future would make a snapshot serve for longer than it may, and taken for
// one of now it would begin anew with each restart.
func TestRemoteSnapshotFromTheFuture(t *testing.T) {
	for _, c := range []struct {
		ahead time.Duration
		want  verifier.Code
	}{
		{5 * time.Minute, ""},
		{5*time.Minute + time.Second, verifier.CodeKeysUnavailable},
		{365 * 24 * time.Hour, verifier.CodeKeysUnavailable},
	} {
		bubble(t, func(t *testing.T, o *origin) {
			o.down = true
			var told error
			cfg := o.config()
			cfg.Snapshots = &memory{snapshot: verifier.Snapshot{
				Issuer: originIssuer, Source: sourceOf(cfg.URL), Fetched: time.Now().Add(c.ahead), Keys: o.jwks,
			}}
			cfg.Refreshed = func(_ int, err error) {
				if errors.Is(err, verifier.ErrSnapshot) {
					told = err
				}
			}
			keys, v := start(t, cfg)
			verify(t, v, o.token(t), c.want)
			synctest.Wait()
			if refused := told != nil && strings.Contains(told.Error(), "clock"); refused != (c.want != "") {
				t.Errorf("%s ahead: reported %v", c.ahead, told)
			}
			if age := keys.Status().Age; age < 0 {
				t.Errorf("%s ahead: it is %s old", c.ahead, age)
			}
		})
	}
}

// However often the gateway restarts, a snapshot of a clock that is ahead does not last.
func TestRemoteSnapshotFromTheFutureEndsThroughRestarts(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		o.down = true
		cfg := o.config()
		cfg.Snapshots = &memory{snapshot: verifier.Snapshot{
			Issuer: originIssuer, Source: sourceOf(cfg.URL), Fetched: time.Now().Add(3 * time.Minute), Keys: o.jwks,
		}}
		for _, c := range []struct {
			after time.Duration
			want  verifier.Code
		}{{time.Minute, ""}, {24 * time.Hour, ""}, {2 * time.Minute, verifier.CodeKeysUnavailable}} {
			time.Sleep(c.after)
			keys, v := start(t, cfg)
			verify(t, v, o.token(t), c.want)
			keys.Close()
		}
	})
}

func TestRemoteSnapshotStoreThatFails(t *testing.T) {
	for _, c := range []struct {
		err     error
		reports int // that mention the snapshot
	}{
		{nil, 0},
		{errors.New("disk full"), 2}, // loading and saving
	} {
		bubble(t, func(t *testing.T, o *origin) {
			var reports []error
			cfg := o.config()
			cfg.Snapshots = &memory{err: c.err}
			cfg.Refreshed = func(_ int, err error) {
				if err != nil && strings.Contains(err.Error(), "key snapshot") && errors.Is(err, c.err) {
					reports = append(reports, err)
				}
			}
			keys, v := start(t, cfg)
			verify(t, v, o.token(t), "")
			synctest.Wait()
			keys.Close()
			if len(reports) != c.reports {
				t.Errorf("store error %v: got reports %v, want %d", c.err, reports, c.reports)
			}
		})
	}
}

// Nothing was saved yet: that is no failure.
func TestRemoteSnapshotThatDoesNotExist(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		cfg := o.config()
		cfg.Snapshots = absent{}
		cfg.Refreshed = func(_ int, err error) {
			if err != nil {
				t.Errorf("reported %v", err)
			}
		}
		_, v := start(t, cfg)
		verify(t, v, o.token(t), "")
	})
}

type absent struct{}

func (absent) Load(context.Context) (verifier.Snapshot, error) {
	return verifier.Snapshot{}, fs.ErrNotExist
}
func (absent) Save(context.Context, verifier.Snapshot) error { return nil }

// An issuer publishes private keys by mistake. They must not be written anywhere.
func TestRemoteSnapshotHoldsPublicMembersOnly(t *testing.T) {
	bubble(t, func(t *testing.T, o *origin) {
		jwk := o.key.JWK()
		jwk["d"], jwk["note"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE", "private"
		o.jwks = verifiertest.JWKS(t, jwk)
		m := &memory{}
		cfg := o.config()
		cfg.Snapshots = m
		keys, v := start(t, cfg)
		verify(t, v, o.token(t), "")
		synctest.Wait()
		keys.Close()
		if m.saved != 1 || bytes.Contains(m.snapshot.Keys, []byte(`"d"`)) || bytes.Contains(m.snapshot.Keys, []byte("private")) {
			t.Errorf("saved %d times: %s", m.saved, m.snapshot.Keys)
		}
		saved, err := verifier.ParseKeySet(m.snapshot.Keys)
		if err != nil {
			t.Fatal(err)
		}
		verify(t, newVerifier(t, originIssuer, saved), o.token(t), "")
	})
}
