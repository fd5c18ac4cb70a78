package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

const stay = 400 * 24 * time.Hour // of a user who has linked nothing

func identity(id string) gateway.Identity {
	return gateway.Identity{ID: id, Issuer: "https://login.example", Subject: "subject of " + id}
}

func newLink(user, by, joins string) gateway.Link {
	return gateway.Link{UserID: user, By: identity(by), Joins: identity(joins), At: time.Now()}
}

func mustLink(t *testing.T, s gateway.Store, user, by, joins string) {
	t.Helper()
	if _, err := s.Link(t.Context(), newLink(user, by, joins)); err != nil {
		t.Errorf("linking %q to %q: got %v, want nil", joins, user, err)
	}
}

func mustVisit(t *testing.T, s gateway.Store, by string, at time.Time) {
	t.Helper()
	if _, err := s.Visit(t.Context(), identity(by), at); err != nil {
		t.Errorf("visiting as %q: got %v, want nil", by, err)
	}
}

func wantOwner(t *testing.T, s gateway.Store, identity, want string) {
	t.Helper()
	if got, err := s.Owner(identity); err != nil || got != want {
		t.Errorf("asking for the owner of %q: got %q, %v, want %q", identity, got, err, want)
	}
}

// wantIdentities says which identities a user has; none: the user is not known.
func wantIdentities(t *testing.T, s gateway.Store, id string, want ...string) {
	t.Helper()
	u, err := s.User(t.Context(), id)
	var got []string
	for _, i := range u.Identities {
		got = append(got, i.ID)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("asking for the identities of %q: got %q, %v, want %q", id, got, err, want)
	}
}

// TestOwnerCost: it is asked for every request.
func TestOwnerCost(t *testing.T) {
	forEachStore(t, func(t *testing.T, s gateway.Store, _ *time.Time) {
		mustLink(t, s, "alice", "alice", "work")
		for _, id := range []string{"alice", "work", "bob"} {
			if got := testing.AllocsPerRun(100, func() { _, _ = s.Owner(id) }); got != 0 {
				t.Errorf("asking for the owner of %q: got %v allocations, want 0", id, got)
			}
		}
	})
}

// TestErrorsKeepIdentities: they say who somebody is.
func TestErrorsKeepIdentities(t *testing.T) {
	forEachStore(t, func(t *testing.T, s gateway.Store, now *time.Time) {
		secret := gateway.Identity{ID: "secret", Issuer: "secret", Subject: "secret"}
		large := gateway.Identity{ID: "secret", Subject: strings.Repeat("secret", 1000)}
		mustVisit(t, s, "alice", *now)
		var errs []error
		_, err := s.Visit(t.Context(), large, *now)
		errs = append(errs, err)
		_, err = s.Visit(t.Context(), secret, time.Time{})
		errs = append(errs, err)
		_, err = s.Owner(strings.Repeat("secret", 100))
		errs = append(errs, err)
		_, err = s.User(t.Context(), strings.Repeat("secret", 100))
		errs = append(errs, err)
		_, err = s.Link(t.Context(), gateway.Link{UserID: "secret", By: secret, Joins: identity("alice"), At: *now})
		errs = append(errs, err)
		if got := errors.Join(errs...); strings.Contains(got.Error(), "secret") || strings.Count(got.Error(), "\n") != 4 {
			t.Errorf("making five errors: got %q, want none of them with an identity", got)
		}
	})
}

// TestUsersRoomLowered: somebody lowered the number of users. Nobody leaves for that who
// has not been away for long, and those who have leave a few at a time.
func TestUsersRoomLowered(t *testing.T) {
	const many = 30
	p := newPlace(t)
	open := func(users int) *store.File {
		f, err := store.OpenFile(store.FileConfig{Path: p.path, Users: users, Now: func() time.Time { return p.now }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	f := open(many)
	for i := range many {
		mustVisit(t, f, userID(i), p.now.Add(time.Duration(i)))
	}
	mustClose(t, f)
	f = open(3)
	known := func() (n int) {
		for i := range many {
			if u, err := f.User(t.Context(), userID(i)); err == nil && !u.FirstVisit.IsZero() {
				n++
			}
		}
		return n
	}
	p.now = p.now.Add(stay - 1)
	if _, err := f.Visit(t.Context(), identity("new"), p.now); !errors.Is(err, gateway.ErrFull) || known() != many {
		t.Errorf("visiting where nobody can leave: got %v and %d known users, want %v and %d", err, known(), gateway.ErrFull, many)
	}
	mustVisit(t, f, userID(many-1), p.now)
	p.now = p.now.Add(time.Hour)
	for i, before := 0, many; i < many-1; i, before = i+1, known() {
		_, err := f.Visit(t.Context(), identity(fmt.Sprint("new-", i)), p.now)
		if left := before - known(); err == nil && (left < 1 || left > 5) || err != nil && left != 0 {
			t.Errorf("visiting where %d can leave: got %v, and %d have left, want a few", before, err, left)
		}
	}
	if got := known(); got != 1 {
		t.Errorf("counting users who were there before: got %d, want the one who came back", got)
	}
}

// TestFileReadsWithoutWriter: a slow disk holds up who writes. Whoever asks for a user
// gets what the last commit left.
func TestFileReadsWithoutWriter(t *testing.T) {
	f := mustOpen(t, filepath.Join(t.TempDir(), "store"))
	mustLink(t, f, "alice", "alice", "work")
	release, err := f.HoldWrites()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	wantIdentities(t, f, "alice", "alice", "work") // would hang, if it waited
	wantOwner(t, f, "work", "alice")
}

// TestFileLinkerLeaves: what nobody waits for any more is not linked.
func TestFileLinkerLeaves(t *testing.T) {
	f := mustOpen(t, filepath.Join(t.TempDir(), "store"))
	release, err := f.HoldWrites()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watched := watchedContext{ctx, make(chan struct{}, 10)}
	answer := make(chan error, 1)
	go func() {
		_, err := f.Link(watched, newLink("alice", "alice", "work"))
		answer <- err
	}()
	<-watched.waits // for the writer to take it
	<-watched.waits // for the disk
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("linking while the disk is slow: got %v, want %v", err, context.Canceled)
	}
	release()
	mustLink(t, f, "bob", "bob", "work")
	wantOwner(t, f, "work", "bob")
}

// TestFileRefusedLinksWriteNothing: whoever tries over and over to link what is not
// theirs, or signs in where there is no room, must not keep the disk busy.
func TestFileRefusedLinksWriteNothing(t *testing.T) {
	f, err := store.OpenFile(store.FileConfig{Path: filepath.Join(t.TempDir(), "store"), Users: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, f)
	mustLink(t, f, "alice", "alice", "work")
	mustVisit(t, f, "bob", time.Now())
	before := f.Writes()
	for range 20 {
		if _, err := f.Link(t.Context(), newLink("bob", "bob", "work")); !errors.Is(err, gateway.ErrIdentityTaken) {
			t.Errorf("linking another's: got %v, want %v", err, gateway.ErrIdentityTaken)
		}
		if _, err := f.Visit(t.Context(), identity("carol"), time.Now()); !errors.Is(err, gateway.ErrFull) {
			t.Errorf("visiting without room: got %v, want %v", err, gateway.ErrFull)
		}
	}
	if got := f.Writes() - before; got != 0 {
		t.Errorf("counting the pages written for refusals: got %d, want 0", got)
	}
	mustVisit(t, f, "bob", time.Now())
	if f.Writes() == before {
		t.Error("counting the pages written for a visit: got 0, want some")
	}
}

// TestFileLinkOfUnknownFate: nobody could tell whether a commit reached the disk, and it
// did. Who signs in with the identity is whose it is, and is so for every request then.
func TestFileLinkOfUnknownFate(t *testing.T) {
	for name, learn := range map[string]func(f *store.File) error{
		"visit": func(f *store.File) error {
			u, err := f.Visit(t.Context(), identity("work"), time.Now())
			return errors.Join(err, wantID(u, "alice"))
		},
		"link": func(f *store.File) error {
			u, err := f.Link(t.Context(), newLink("alice", "alice", "work"))
			return errors.Join(err, wantID(u, "alice"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := mustOpen(t, filepath.Join(t.TempDir(), "store"))
			mustLink(t, f, "alice", "alice", "work")
			f.ForgetLinks()
			wantOwner(t, f, "work", "work")
			if err := learn(f); err != nil {
				t.Error(err)
			}
			wantOwner(t, f, "work", "alice")
		})
	}
}

func wantID(u gateway.User, want string) error {
	if u.ID != want {
		return fmt.Errorf("got user %q, want %q", u.ID, want)
	}
	return nil
}

// TestMemoryUserSize holds MemoryConfig.Users to what it says, with identities that
// were cut out of something large.
func TestMemoryUserSize(t *testing.T) {
	m := store.NewMemory(store.MemoryConfig{})
	before := heap()
	const n = 60_000 // just above a doubling: the worst case
	cut := func(i int) gateway.Identity {
		text := fmt.Sprintf("%x", hash(i)) + strings.Repeat("t", 2000)
		return gateway.Identity{ID: text[:36], Issuer: "https://login.example.com", Subject: text[:36]}
	}
	size := func() int64 { return (heap() - before) / n }
	for i := range n {
		if _, err := m.Visit(t.Context(), cut(i), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	user := size()
	for i := range n {
		if _, err := m.Link(t.Context(), gateway.Link{UserID: cut(i).ID, By: cut(i), Joins: cut(i + n), At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	link := size() - user
	t.Logf("%d bytes for a user and %d for a linked identity of about 100 bytes", user, link)
	if user > 500 || link > 500 {
		t.Errorf("measuring identities of 100 bytes: got %d bytes for a user and %d for a linked one, want at most 500", user, link)
	}
	runtime.KeepAlive(m)
}
