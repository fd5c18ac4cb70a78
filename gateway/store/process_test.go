package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

func init() {
	children["burst"] = burst
	children["hold"] = hold
}

// burst uses keys, revokes sessions and links identities as fast as it can, until it is killed. It
// writes a line for everything that the store has said is done.
func burst(path string) error {
	f, err := store.OpenFile(store.FileConfig{Path: path})
	if err != nil {
		return err
	}
	until := time.Now().Add(time.Hour)
	var workers errgroup.Group
	for worker := range 32 {
		workers.Go(func() error {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, i)
				var err error
				if worker%8 == 1 {
					err = visitAndLink(f, key)
				} else {
					err = useOrRevoke(f, worker%8 == 0, key, until)
				}
				if err != nil {
					return err
				}
			}
		})
	}
	return workers.Wait()
}

func useOrRevoke(f *store.File, revoke bool, key string, until time.Time) error {
	if revoke {
		if err := f.Revoke(context.Background(), gateway.Revocation{Key: key, At: time.Unix(1, 0), Until: until}); err != nil {
			return err
		}
		_, err := os.Stdout.WriteString("revoked " + key + "\n")
		return err
	}
	if err := f.Use(context.Background(), key, until); err != nil {
		return err
	}
	_, err := os.Stdout.WriteString("used " + key + "\n")
	return err
}

func visitAndLink(f *store.File, user string) error {
	if _, err := f.Visit(context.Background(), identity(user), time.Unix(1, 0)); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("visited " + user + "\n"); err != nil {
		return err
	}
	if _, err := f.Link(context.Background(), newLink(user, user, "linked-"+user)); err != nil {
		return err
	}
	_, err := os.Stdout.WriteString("linked " + user + "\n")
	return err
}

// TestFileKilled: a gateway is killed in the middle of its work. What it has
// answered yes to must not be had a second time from the next one.
func TestFileKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	var done []string
	for range 3 {
		child := startChild(t, "burst", path)
		for range 1000 {
			line, ok := child.line()
			if !ok {
				t.Fatal("the child ended by itself")
			}
			done = append(done, line)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for line, ok := child.line(); ok; line, ok = child.line() {
			done = append(done, line)
		}
		_ = child.Wait() // killed
		checkDone(t, path, done)
	}
}

func checkDone(t *testing.T, path string, done []string) {
	t.Helper()
	f := mustOpen(t, path)
	for _, line := range done {
		switch verb, key, _ := strings.Cut(line, " "); verb {
		case "revoked":
			wantRevoked(t, f, key, time.Unix(1, 0))
		case "visited":
			if u, err := f.User(t.Context(), key); err != nil || !u.FirstVisit.Equal(time.Unix(1, 0)) {
				t.Fatalf("asking for a user after the kill: got %v, %v", u, err)
			}
		case "linked":
			wantOwner(t, f, "linked-"+key, key)
			wantIdentities(t, f, key, key, "linked-"+key)
		default:
			if err := use(t, f, key); !errors.Is(err, gateway.ErrUsed) {
				t.Fatalf("using a used key after the kill: got %v, want %v", err, gateway.ErrUsed)
			}
		}
	}
	if err := use(t, f, fmt.Sprint("new-", len(done))); err != nil {
		t.Fatalf("using a new key after the kill: %v", err)
	}
	mustClose(t, f)
}

// hold has the store open until its input ends.
func hold(path string) error {
	f, err := store.OpenFile(store.FileConfig{Path: path})
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return f.Close()
}

// TestFileSecondProcess: two gateways with a ledger each of the same name would
// each accept an assertion once.
func TestFileSecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	child := startChild(t, "hold", path)
	if line, _ := child.line(); line != "open" {
		t.Fatalf("waiting for the child to open the store: got %q", line)
	}
	_, err := store.OpenFile(store.FileConfig{Path: path})
	wantError(t, err, path, "another process has it open", "path of its own")

	child.stop()
	if err := child.Wait(); err != nil {
		t.Fatalf("waiting for the child to end: %v", err)
	}
	mustClose(t, mustOpen(t, path))
}

// TestFileMadeTwice: two gateways start for the first time at once.
func TestFileMadeTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new directory", "store")
	opened := make(chan *store.File, 4)
	var wg sync.WaitGroup
	for range cap(opened) {
		wg.Go(func() {
			f, err := store.OpenFile(store.FileConfig{Path: path})
			if err != nil {
				wantError(t, err, path, "another process has it open")
				return
			}
			opened <- f
		})
	}
	wg.Wait()
	close(opened)
	if n := len(opened); n != 1 {
		t.Errorf("opening one path at once: got %d stores, want 1", n)
	}
	for f := range opened {
		mustClose(t, f)
	}
}
