//go:build unix

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

func init() { children["full"] = fillDisk }

// TestFileDiskFull runs in a process of its own, which may not make files larger
// than they are for a while.
func TestFileDiskFull(t *testing.T) {
	if err := childCommand(t, "full", filepath.Join(t.TempDir(), "store")).Run(); err != nil {
		t.Errorf("filling the disk: %v", err)
	}
}

// fillDisk uses keys until there is no room for more, and then goes on with room.
func fillDisk(path string) error {
	f, err := store.OpenFile(store.FileConfig{Path: path})
	if err != nil {
		return err
	}
	ctx, until := context.Background(), time.Now().Add(time.Hour)
	if err := f.Revoke(ctx, gateway.Revocation{Key: "session", At: time.Unix(1, 0), Until: until}); err != nil {
		return err
	}
	lift, err := limitFiles(path)
	if err != nil {
		return err
	}
	used, err := useUntilError(f, until)
	if err == nil || errors.Is(err, gateway.ErrUsed) || !strings.Contains(err.Error(), path) {
		return fmt.Errorf("using keys with a full disk: got %w, want an error that names the path", err)
	}
	if at, err := f.RevokedAt("session"); err != nil || at.IsZero() {
		return fmt.Errorf("asking for a revocation with a full disk: got %v, %w", at, err)
	}
	if err := f.Probe(ctx); err == nil || !strings.Contains(err.Error(), path) {
		return fmt.Errorf("probing with a full disk: got %w, want an error that names the path", err)
	}
	if err := wantUsed(f, used, until); err != nil {
		return fmt.Errorf("with a full disk: %w", err)
	}
	if err := lift(); err != nil {
		return err
	}
	if err := f.Probe(ctx); err != nil {
		return fmt.Errorf("probing with room: %w", err)
	}
	if err := f.Use(ctx, longKey(used), until); err != nil {
		return fmt.Errorf("using the key that found no room, with room: %w", err)
	}
	if err := errors.Join(wantUsed(f, used+1, until), f.Close()); err != nil {
		return err
	}
	again, err := store.OpenFile(store.FileConfig{Path: path})
	if err != nil {
		return fmt.Errorf("opening what a full disk has left: %w", err)
	}
	return errors.Join(wantUsed(again, used+1, until), again.Close())
}

// limitFiles lets no file of this process become larger than the one at path is.
func limitFiles(path string) (lift func() error, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return nil, err
	}
	limit := before
	limit.Cur = uint64(info.Size())
	lift = func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before) }
	return lift, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

// longKey fills a file soon.
func longKey(i int) string { return fmt.Sprintf("%0500d", i) }

func useUntilError(f *store.File, until time.Time) (used int, err error) {
	for ; used < 100_000; used++ {
		if err := f.Use(context.Background(), longKey(used), until); err != nil {
			return used, err
		}
	}
	return used, nil
}

func wantUsed(f *store.File, keys int, until time.Time) error {
	for i := range keys {
		if err := f.Use(context.Background(), longKey(i), until); !errors.Is(err, gateway.ErrUsed) {
			return fmt.Errorf("using key %d of %d again: got %w, want %w", i, keys, err, gateway.ErrUsed)
		}
	}
	return nil
}
