package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

func testLink(t *trial) {
	t.open(0)
	first := t.in(0)
	t.visit(identity("alice"), first)
	want := gateway.User{ID: "alice", FirstVisit: first, Identities: []gateway.Identity{identity("alice")}}
	for n, joins := range []string{"work", "home"} {
		t.advance(time.Minute)
		want.LastVisit = t.in(0)
		want.Identities = append(want.Identities, identity(joins))
		// The second time she is signed in as what was linked the first time.
		t.compare("linking", t.link("alice", []string{"alice", "work"}[n], joins), want)
		t.wantUser(want)
		t.wantOwner(joins, "alice")
	}
	t.wantOwner("alice", "alice")
	for _, by := range []string{"work", "home", "alice"} {
		t.advance(time.Minute)
		want.LastVisit = t.in(0)
		t.wantVisit(identity(by), t.in(0), want)
	}
	for _, by := range []string{"work", "home", "alice"} {
		for _, again := range []string{"work", "home", "alice"} { // alice herself, too
			t.advance(time.Minute)
			want.LastVisit = t.in(0)
			t.compare("linking again", t.link("alice", by, again), want)
		}
	}
	for _, joined := range []string{"work", "home"} { // are no users
		t.wantUser(gateway.User{ID: joined})
	}
	u, err := t.Link(t.Context(), gateway.Link{UserID: "alice", By: identity("alice"), Joins: identity("club"), At: first})
	if err != nil || !u.LastVisit.Equal(want.LastVisit) {
		t.Errorf("linking by a clock that was set back: got a last visit at %v, %v, want %v", u.LastVisit, err, want.LastVisit)
	}
}

// testLinkUnknownUser: the directory was full when the user signed in.
func testLinkUnknownUser(t *trial) {
	t.open(0)
	want := gateway.User{
		ID: "alice", FirstVisit: t.in(0), LastVisit: t.in(0), New: true,
		Identities: []gateway.Identity{identity("alice"), identity("work")},
	}
	t.compare("linking to an unknown user", t.link("alice", "alice", "work"), want)
	want.New = false
	t.wantUser(want)
	t.wantVisit(identity("work"), t.in(0), want)

	own := t.link("bob", "bob", "bob")
	t.compare("linking an unknown user to themselves", own,
		gateway.User{ID: "bob", FirstVisit: t.in(0), LastVisit: t.in(0), New: true, Identities: []gateway.Identity{identity("bob")}})
}

// testTaken: somebody who is signed in tries to get hold of an identity that is not
// theirs, or to give theirs to somebody else, who would then be signed in as them.
func testTaken(t *trial) {
	t.open(0)
	t.visit(identity("alice"), t.in(0))
	t.link("alice", "alice", "work")
	t.visit(identity("bob"), t.in(0))
	t.link("carol", "carol", "home")

	t.wantTaken("linking what another has linked", "bob", "bob", "work")
	t.wantTaken("linking another user", "bob", "bob", "carol")
	t.wantTaken("linking a user who has linked nothing", "carol", "carol", "bob")
	t.wantTaken("linking another user, as what was linked", "alice", "work", "bob")
	t.wantTaken("linking what another has linked, to a user that is not known", "dave", "dave", "work")
	t.wantTaken("linking another user, to a user that is not known", "dave", "dave", "bob")
	t.wantTaken("linking to another user", "alice", "bob", "club")
	t.wantTaken("linking to another user, as a stranger", "alice", "eve", "club")
	t.wantTaken("linking to another user, as what was linked", "bob", "work", "club")
	t.wantTaken("linking to an identity that is another's", "work", "work", "club")
	t.wantTaken("linking to an identity that is another's, as that one", "work", "alice", "club")
	t.wantTaken("linking oneself to another user", "alice", "eve", "eve")
	t.wantTaken("linking what another has linked, as that", "bob", "work", "work")
	t.wantTaken("linking another's once more, as somebody else", "alice", "bob", "work")

	t.wantIdentities("alice", "alice", "work")
	t.wantIdentities("bob", "bob")
	t.wantIdentities("carol", "carol", "home")
	for _, nobody := range []string{"dave", "eve", "work", "home", "club"} {
		t.wantUser(gateway.User{ID: nobody})
	}
	for identity, owner := range map[string]string{"work": "alice", "home": "carol", "bob": "bob", "club": "club", "eve": "eve"} {
		t.wantOwner(identity, owner)
	}
	t.link("alice", "work", "club")
	t.link("bob", "bob", "eve")
	t.wantOwner("club", "alice")
	t.wantOwner("eve", "bob")
}

// testRefusedVisit: a refused link is no visit.
func testRefusedVisit(t *trial) {
	t.open(0)
	t.visit(identity("bob"), t.in(0))
	first := t.in(0)
	t.visit(identity("alice"), first)
	t.advance(time.Minute)
	t.wantTaken("linking another user", "alice", "alice", "bob")
	for _, id := range []string{"alice", "bob"} {
		if u := t.user(id); !u.LastVisit.Equal(first) {
			t.Errorf("asking for the last visit of %s after a refused link: got %v, want %v", id, u.LastVisit, first)
		}
	}
}

func testMaxIdentities(t *trial) {
	t.open(0)
	nth := func(n int) string { return fmt.Sprint("identity-", n) }
	for n := 1; n < gateway.MaxIdentities; n++ {
		t.link("alice", "alice", nth(n))
	}
	before := t.user("alice")
	t.advance(time.Minute)
	_, err := t.Link(t.Context(), t.newLink("alice", "alice", "one more"))
	if !errors.Is(err, gateway.ErrTooManyIdentities) {
		t.Errorf("linking one too many: got %v, want %v", err, gateway.ErrTooManyIdentities)
	}
	t.wantUser(before)
	t.wantOwner("one more", "one more")
	t.link("alice", nth(1), nth(gateway.MaxIdentities-1)) // is no further one
	t.link("bob", "bob", "one more")
	t.wantTaken("linking another's, having too many", "alice", "alice", "one more")
}

// testOneOwner: an identity is linked to many users at once.
func testOneOwner(t *trial) {
	t.open(0)
	for round := range 10 {
		contested := fmt.Sprint("contested-", round)
		name := func(racer int) string { return fmt.Sprintf("user-%d-%d", round, racer) }
		var winner atomic.Int32
		var wins atomic.Int32
		race(racers, func(racer int) {
			switch _, err := t.Link(t.Context(), t.newLink(name(racer), name(racer), contested)); {
			case err == nil:
				wins.Add(1)
				winner.Store(int32(racer))
				t.wantOwner(contested, name(racer))
			case !errors.Is(err, gateway.ErrIdentityTaken):
				t.Errorf("racing for an identity: got %v, want nil or %v", err, gateway.ErrIdentityTaken)
			}
		})
		if n := wins.Load(); n != 1 {
			t.Fatalf("racing for an identity: got %d winners, want 1", n)
		}
		for racer := range racers {
			if racer == int(winner.Load()) {
				t.wantIdentities(name(racer), name(racer), contested)
			} else {
				t.wantUser(gateway.User{ID: name(racer)})
			}
		}
	}
}

// testUserOrLinked: an identity signs in on one device, and is linked on another. It must
// not be a user of its own and a part of another one as well.
func testUserOrLinked(t *trial) {
	t.open(0)
	for round := range 50 {
		user, contested := fmt.Sprint("user-", round), fmt.Sprint("contested-", round)
		var linked, own atomic.Bool
		race(6, func(racer int) {
			if racer == round%6 { // so that either comes first at times
				_, err := t.Link(t.Context(), t.newLink(user, user, contested))
				linked.Store(err == nil)
				if err != nil && !errors.Is(err, gateway.ErrIdentityTaken) {
					t.Errorf("linking what signs in: got %v, want nil or %v", err, gateway.ErrIdentityTaken)
				}
				return
			}
			u, err := t.Visit(t.Context(), identity(contested), t.in(0))
			if err != nil {
				t.Errorf("signing in while being linked: %v", err)
			}
			if u.ID == contested {
				own.Store(true)
			}
		})
		if linked.Load() == own.Load() {
			t.Fatalf("signing in while being linked: got linked %v and a user of its own %v, want one of them", linked.Load(), own.Load())
		}
		if own.Load() {
			t.wantOwner(contested, contested)
			t.wantIdentities(contested, contested)
			t.wantUser(gateway.User{ID: user})
		} else {
			t.wantOwner(contested, user)
			t.wantIdentities(user, user, contested)
			t.wantUser(gateway.User{ID: contested})
		}
	}
}

func (t *trial) newLink(user, by, joins string) gateway.Link {
	return gateway.Link{UserID: user, By: identity(by), Joins: identity(joins), At: t.in(0)}
}

func (t *trial) link(user, by, joins string) gateway.User {
	t.Helper()
	u, err := t.Link(t.Context(), t.newLink(user, by, joins))
	if err != nil {
		t.Fatalf("linking %q to %q as %q: got %v, want nil", joins, user, by, err)
	}
	return u
}

func (t *trial) wantTaken(what, user, by, joins string) {
	t.Helper()
	if _, err := t.Link(t.Context(), t.newLink(user, by, joins)); !errors.Is(err, gateway.ErrIdentityTaken) {
		t.Errorf("%s: got %v, want %v", what, err, gateway.ErrIdentityTaken)
	}
}
