package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
	"github.com/caddy-byoa/caddy-byoa/gateway/store/storetest"
)

func TestFile(t *testing.T) {
	storetest.Run(t, storetest.Subject{
		Open: func(_ *testing.T, o storetest.Options) (gateway.Store, error) {
			path := filepath.Join(o.Place, "made on the way", "store")
			return store.OpenFile(store.FileConfig{Path: path, Capacity: o.Capacity, Users: o.Users, Now: o.Now})
		},
		Survives: true,
		Bounded:  true,
	})
}

func mustOpen(t *testing.T, path string) *store.File {
	t.Helper()
	f, err := store.OpenFile(store.FileConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func mustClose(t *testing.T, f *store.File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// use uses key for an hour.
func use(t *testing.T, s gateway.Store, key string) error {
	t.Helper()
	return s.Use(t.Context(), key, time.Now().Add(time.Hour))
}

func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got error %q, want one with %q", err, w)
		}
	}
}

func TestFileIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "store")
	mustClose(t, mustOpen(t, path))
	for name, want := range map[string]os.FileMode{path: 0o600, dir: 0o700, filepath.Dir(dir): 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("asking for the mode of %s: got %v, want %v", name, got, want)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("listing the directory of the store: got %v, %v, want the store alone", left, err)
	}
}

func TestFileWaitsForTheDisk(t *testing.T) {
	if f := mustOpen(t, filepath.Join(t.TempDir(), "store")); !f.Syncs() {
		t.Error("asking whether commits are synced: got false, want true")
	}
}

func TestFileCannotBeThere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"no path":                 {"", "no path given"},
		"directory":               {dir, "it is a directory"},
		"below a file":            {filepath.Join(file, "store"), "not a directory"},
		"further below a file":    {filepath.Join(file, "a", "store"), "not a directory"},
		"device":                  {os.DevNull, "no regular file"},
		"link that leads nowhere": {filepath.Join(dir, "dangling"), "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := store.OpenFile(store.FileConfig{Path: c.path})
			wantError(t, err, c.path, c.want)
		})
	}
	mustClose(t, mustOpen(t, filepath.Join(dir, "store")))
}

// A watchedContext tells when somebody begins to wait for it.
type watchedContext struct {
	context.Context
	waits chan struct{}
}

func (c watchedContext) Done() <-chan struct{} {
	c.waits <- struct{}{}
	return c.Context.Done()
}

// TestFileCallerLeaves: clients hang up while the disk is slow. The callers must
// not hang with it, and what nobody waits for any more is not spent.
func TestFileCallerLeaves(t *testing.T) {
	f := mustOpen(t, filepath.Join(t.TempDir(), "store"))
	release, err := f.HoldWrites()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watched := watchedContext{ctx, make(chan struct{}, 10)}
	answers := make(chan error, 20)
	use := func(ctx context.Context, i int) {
		answers <- f.Use(ctx, fmt.Sprint("key-", i), time.Now().Add(time.Hour))
	}
	go use(watched, 0)
	<-watched.waits // for the writer to take it
	<-watched.waits // for the disk
	for i := 1; i < cap(answers); i++ {
		go use(ctx, i)
	}
	cancel()
	for range cap(answers) { // would hang, if they did
		if err := <-answers; !errors.Is(err, context.Canceled) {
			t.Errorf("using a key while the disk is slow: got %v, want %v", err, context.Canceled)
		}
	}
	release()
	for i := range cap(answers) {
		if err := f.Use(t.Context(), fmt.Sprint("key-", i), time.Now().Add(time.Hour)); err != nil {
			t.Errorf("using a key that nobody waited for: got %v, want nil", err)
		}
	}
}

// TestFileReplaysWriteNothing: whoever sends one assertion over and over must not
// keep the disk busy.
func TestFileReplaysWriteNothing(t *testing.T) {
	f := mustOpen(t, filepath.Join(t.TempDir(), "store"))
	if err := use(t, f, "key"); err != nil {
		t.Fatal(err)
	}
	before := f.Writes()
	for range 100 {
		if err := use(t, f, "key"); !errors.Is(err, gateway.ErrUsed) {
			t.Fatalf("using the key again: got %v, want %v", err, gateway.ErrUsed)
		}
	}
	if got := f.Writes() - before; got != 0 {
		t.Errorf("counting the pages written for replays: got %d, want 0", got)
	}
	if err := use(t, f, "other key"); err != nil || f.Writes() == before {
		t.Errorf("using a new key: got %v and %d pages written, want nil and some", err, f.Writes()-before)
	}
}

// TestFileStaysSmall: what expired makes room for what comes.
func TestFileStaysSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	now := time.Now()
	f, err := store.OpenFile(store.FileConfig{Path: path, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	for round := range 8 {
		for i := range 40 {
			key := fmt.Sprintf("%d-%d-%s", round, i, strings.Repeat("k", 500))
			if err := f.Use(t.Context(), key, now.Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(time.Hour)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, info.Size())
	}
	mustClose(t, f)
	if last := len(sizes) - 1; sizes[last] > 2*sizes[1] {
		t.Errorf("using and expiring keys: the file went from %d to %d bytes, want it to stay below twice its size", sizes[1], sizes[last])
	}
}
