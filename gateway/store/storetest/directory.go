package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// stay is how long a user stays at least who has not signed in.
const stay = 400 * 24 * time.Hour

func testVisits(t *trial) {
	t.open(0)
	alice := identity("alice")
	t.wantUser(gateway.User{ID: "alice"})
	first := t.in(0)
	want := gateway.User{ID: "alice", FirstVisit: first, LastVisit: first, New: true, Identities: []gateway.Identity{alice}}
	t.wantVisit(alice, first, want)

	want.New = false
	t.wantUser(want)
	for _, earlier := range []time.Duration{0, -time.Nanosecond, -stay} { // a clock was set back
		t.wantVisit(alice, first.Add(earlier), want)
	}
	for _, later := range []time.Duration{time.Nanosecond, time.Hour, 10 * stay} {
		want.LastVisit = first.Add(later)
		t.wantVisit(alice, want.LastVisit, want)
	}
	t.wantUser(want)
	t.wantUser(gateway.User{ID: "bob"})
	t.wantOwner("alice", "alice")
	t.wantOwner("bob", "bob")
}

// testOneFirstVisit: a new user opens many tabs at once, and is greeted once.
func testOneFirstVisit(t *trial) {
	t.open(0)
	const users = 10 // whose last visit is another racer's each
	var greeted [users]atomic.Int32
	race(racers, func(racer int) {
		for n := range users {
			u, err := t.Visit(t.Context(), identity(fmt.Sprint("user-", n)), t.in(time.Duration((racer+n)%racers)))
			if err != nil {
				t.Errorf("visiting with others: %v", err)
			}
			if u.New {
				greeted[n].Add(1)
			}
		}
	})
	for n := range users {
		if got := greeted[n].Load(); got != 1 {
			t.Errorf("counting first visits of one user: got %d, want 1", got)
		}
		if u := t.user(fmt.Sprint("user-", n)); !u.LastVisit.Equal(t.in(racers - 1)) {
			t.Errorf("asking for the last of concurrent visits: got %v, want %v", u.LastVisit, t.in(racers-1))
		}
	}
}

// testDistinctUsers: subjects are chosen by users, issuers by whoever runs one.
func testDistinctUsers(t *trial) {
	t.open(0)
	known := []gateway.Identity{
		{ID: "a", Issuer: "b", Subject: "c"},
		{ID: "ab", Issuer: "", Subject: "c"},
		{ID: "A", Issuer: "bc", Subject: ""},
		{ID: "a\x00", Issuer: "\x00", Subject: "\x00\x00"},
		{ID: "\x00a", Issuer: "\xff", Subject: "\xff\xfe"},
		{ID: "\xff", Issuer: `{"id":"a"}`, Subject: "\n"},
		{ID: "{a}", Issuer: "é", Subject: "e\u0301"},
		{ID: " a"},
		{ID: "a "},
		{ID: strings.Repeat("i", 512), Issuer: strings.Repeat("s", gateway.MaxIdentitySize-1), Subject: "x"},
		{ID: strings.Repeat("i", 511) + "j", Subject: strings.Repeat("s", gateway.MaxIdentitySize)},
	}
	for _, i := range known {
		if u := t.visit(i, t.in(0)); !u.New {
			t.Errorf("visiting for the first time as %.40q: it is not the first", i.ID)
		}
	}
	if t.subject.Survives {
		t.reopen()
	}
	for _, i := range known {
		t.wantUser(gateway.User{ID: i.ID, FirstVisit: t.in(0), LastVisit: t.in(0), Identities: []gateway.Identity{i}})
	}
}

// testDirectoryApart: an ID may look like the key of something else.
func testDirectoryApart(t *trial) {
	t.open(0)
	t.wantSpent("used", t.in(time.Hour))
	t.revoke("revoked", t.in(0), t.in(time.Hour))
	for _, id := range []string{"used", "revoked"} {
		t.wantUser(gateway.User{ID: id})
	}
	t.visit(identity("alice"), t.in(0))
	t.link("alice", "alice", "linked")
	for _, key := range []string{"alice", "linked"} {
		t.wantRevoked(key, time.Time{})
		t.wantSpent(key, t.in(time.Hour))
	}
	t.wantUsed("used")
	t.wantRevoked("revoked", t.in(0))
}

func testDirectoryLimits(t *trial) {
	t.open(0)
	alice, bob := identity("alice"), identity("bob")
	long := strings.Repeat("i", 513)
	for what, i := range map[string]gateway.Identity{
		"no ID":              {Issuer: "issuer", Subject: "subject"},
		"too long an ID":     {ID: long, Issuer: "issuer", Subject: "subject"},
		"too long a subject": {ID: "bob", Issuer: "i", Subject: strings.Repeat("s", gateway.MaxIdentitySize)},
		"too long an issuer": {ID: "bob", Issuer: strings.Repeat("i", 1<<20)},
	} {
		_, err := t.Visit(t.Context(), i, t.in(0))
		t.wantUntold("visiting with "+what, err)
		_, err = t.Link(t.Context(), gateway.Link{UserID: "alice", By: alice, Joins: i, At: t.in(0)})
		t.wantUntold("linking an identity with "+what, err)
		_, err = t.Link(t.Context(), gateway.Link{UserID: i.ID, By: i, Joins: alice, At: t.in(0)})
		t.wantUntold("linking as an identity with "+what, err)
	}
	for _, id := range []string{"", long} {
		_, err := t.Owner(id)
		t.wantUntold("asking for an owner", err)
		_, err = t.User(t.Context(), id)
		t.wantUntold("asking for a user", err)
		_, err = t.Link(t.Context(), gateway.Link{UserID: id, By: alice, Joins: bob, At: t.in(0)})
		t.wantUntold("linking to a user", err)
	}
	_, err := t.Visit(t.Context(), alice, time.Time{})
	t.wantUntold("visiting at no time", err)
	_, err = t.Link(t.Context(), gateway.Link{UserID: "alice", By: alice, Joins: bob})
	t.wantUntold("linking at no time", err)

	t.wantUser(gateway.User{ID: "alice"})
	t.wantUser(gateway.User{ID: "bob"})
	t.wantOwner("bob", "bob")
	t.link("alice", "alice", "bob")
}

// testOwnUser: what a caller does with a user does nothing to the next one's.
func testOwnUser(t *trial) {
	t.open(0)
	spoil := func(u gateway.User) {
		for n := range u.Identities {
			u.Identities[n] = identity("mallory")
		}
		_ = append(u.Identities[:0], identity("mallory"), identity("mallory"))
	}
	by := identity("alice")
	spoil(t.visit(by, t.in(0)))
	spoil(t.visit(by, t.in(0)))
	spoil(t.link("alice", "alice", "work"))
	spoil(t.link("alice", "alice", "work"))
	spoil(t.user("alice"))
	t.wantIdentities("alice", "alice", "work")
}

func testDirectoryContext(t *trial) {
	t.open(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, call := range t.directoryCalls(ctx) {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that is done: got %v, want %v", what, err, context.Canceled)
		}
	}
	for what, call := range t.directoryCalls(t.Context()) {
		if err := call(); err != nil {
			t.Errorf("%s with a context: got %v, want nil", what, err)
		}
	}
}

func testDirectoryClosed(t *trial) {
	t.open(0)
	if _, ok := t.Store.(io.Closer); !ok {
		return
	}
	t.visit(identity("alice"), t.in(0))
	t.link("alice", "alice", "work")
	closeStore(t.T, t.Store)
	for what, call := range t.directoryCalls(t.Context()) {
		t.wantUntold(what+" in a closed store", call())
	}
	_, err := t.Owner("work")
	t.wantUntold("asking a closed store for an owner", err)
}

// directoryCalls are one of each kind that takes a context.
func (t *trial) directoryCalls(ctx context.Context) map[string]func() error {
	alice := identity("alice")
	return map[string]func() error{
		"visiting": func() error {
			_, err := t.Visit(ctx, alice, t.in(0))
			return err
		},
		"linking": func() error {
			_, err := t.Link(ctx, gateway.Link{UserID: alice.ID, By: alice, Joins: identity("work"), At: t.in(0)})
			return err
		},
		"asking for a user": func() error {
			_, err := t.User(ctx, "alice")
			return err
		},
	}
}

// testDirectorySurvives: a restart must not take one user's identities apart.
func testDirectorySurvives(t *trial) {
	t.open(0)
	t.visit(identity("bob"), t.in(0))
	t.link("alice", "alice", "work")
	t.advance(time.Minute)
	t.link("alice", "work", "home")
	alice := gateway.User{
		ID: "alice", FirstVisit: t.in(-time.Minute), LastVisit: t.in(0),
		Identities: []gateway.Identity{identity("alice"), identity("work"), identity("home")},
	}
	for range 2 {
		t.reopen()
		t.wantUser(alice)
		t.wantOwner("work", "alice")
		t.wantOwner("home", "alice")
		t.wantOwner("bob", "bob")
		t.advance(time.Minute)
		alice.LastVisit = t.in(0)
		t.wantVisit(identity("home"), t.in(0), alice)
		t.wantTaken("linking what was linked by another", "bob", "bob", "work")
		t.wantTaken("linking another user", "alice", "alice", "bob")
	}
}

// identity is one with a name for its ID.
func identity(id string) gateway.Identity {
	return gateway.Identity{ID: id, Issuer: "https://login.example", Subject: "subject of " + id}
}

func (t *trial) visit(by gateway.Identity, at time.Time) gateway.User {
	t.Helper()
	u, err := t.Visit(t.Context(), by, at)
	if err != nil {
		t.Fatalf("visiting as %.40q: got %v, want nil", by.ID, err)
	}
	return u
}

func (t *trial) user(id string) gateway.User {
	t.Helper()
	u, err := t.User(t.Context(), id)
	if err != nil {
		t.Fatalf("asking for user %.40q: got %v, want nil", id, err)
	}
	return u
}

func (t *trial) wantVisit(by gateway.Identity, at time.Time, want gateway.User) {
	t.Helper()
	t.compare("visiting", t.visit(by, at), want)
}

func (t *trial) wantUser(want gateway.User) {
	t.Helper()
	t.compare("asking for a user", t.user(want.ID), want)
}

func (t *trial) wantOwner(identity, want string) {
	t.Helper()
	if got, err := t.Owner(identity); err != nil || got != want {
		t.Errorf("asking for the owner of %.40q: got %.40q, %v, want %.40q", identity, got, err, want)
	}
}

func (t *trial) wantIdentities(id string, want ...string) {
	t.Helper()
	identities := make([]gateway.Identity, len(want))
	for n, w := range want {
		identities[n] = identity(w)
	}
	if got := t.user(id).Identities; !slices.Equal(got, identities) {
		t.Errorf("asking for the identities of %q: got %v, want %v", id, got, identities)
	}
}

func (t *trial) compare(what string, got, want gateway.User) {
	t.Helper()
	if got.ID != want.ID || got.New != want.New || !slices.Equal(got.Identities, want.Identities) ||
		!got.FirstVisit.Equal(want.FirstVisit) || !got.LastVisit.Equal(want.LastVisit) {
		t.Errorf("%s: got %.1000s, want %.1000s", what, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
	}
}

// wantUntold says that err is that the store cannot do it, and none of its verdicts.
func (t *trial) wantUntold(what string, err error) {
	t.Helper()
	for _, verdict := range []error{gateway.ErrUsed, gateway.ErrFull, gateway.ErrIdentityTaken, gateway.ErrTooManyIdentities} {
		if err == nil || errors.Is(err, verdict) {
			t.Errorf("%s: got %v, want an error other than %q", what, err, verdict)
			return
		}
	}
}
