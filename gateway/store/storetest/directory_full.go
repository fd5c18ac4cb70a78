package storetest

import (
	"fmt"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// openDirectory opens a store with room for so many users and links.
func (t *trial) openDirectory(users int) {
	t.options.Users = users
	t.open(0)
}

func (t *trial) wantNoRoom(what string, by gateway.Identity) {
	t.Helper()
	_, err := t.Visit(t.Context(), by, t.in(0))
	t.wantFull(what, err)
}

func (t *trial) wantNoRoomToLink(what, user, joins string) {
	t.Helper()
	_, err := t.Link(t.Context(), t.newLink(user, user, joins))
	t.wantFull(what, err)
}

// testDirectoryFull: somebody makes up users without end, in the hope that nobody else
// can sign in or be logged out any more.
func testDirectoryFull(t *trial) {
	const users = 10
	t.openDirectory(users)
	t.link("alice", "alice", "work") // takes the room of two
	for n := range users - 2 {
		t.visit(identity(fmt.Sprint("user-", n)), t.in(0))
	}
	before := t.user("alice")
	t.advance(time.Minute)
	check := func() {
		t.Helper()
		t.wantNoRoom("visiting as one user too many", identity("one more"))
		t.wantNoRoomToLink("linking one identity too many", "alice", "home")
		t.wantNoRoomToLink("linking to one user too many", "one more", "home")
		t.wantNoRoomToLink("linking one user too many to themselves", "one more", "one more")
		t.wantTaken("linking another user, without room", "alice", "alice", "user-0")
		t.wantUser(gateway.User{ID: "one more"})
		t.wantOwner("home", "home")
	}
	check()
	t.wantUser(before)
	if t.subject.Survives {
		t.reopen()
		check()
	}
	for _, by := range []string{"alice", "work", "user-0", fmt.Sprint("user-", users-3)} {
		if u := t.visit(identity(by), t.in(0)); u.New || !u.LastVisit.Equal(t.in(0)) {
			t.Errorf("visiting a full directory as a known user: got new %v and a last visit at %v, want one at %v", u.New, u.LastVisit, t.in(0))
		}
	}
	t.link("alice", "alice", "work")
	t.link("user-0", "user-0", "user-0")
	for i := range 3 * users {
		t.wantSpent(fmt.Sprint("key-", i), t.in(time.Minute))
		t.revoke(fmt.Sprint("session-", i), t.in(0), t.in(time.Minute))
	}
	if p, ok := t.Store.(gateway.Prober); ok {
		if err := p.Probe(t.Context()); err != nil {
			t.Errorf("probing with a full directory: got %v, want nil", err)
		}
	}
}

// testFullOfOthers: what is used up and revoked leaves the directory alone.
func testFullOfOthers(t *trial) {
	const capacity = 10
	t.open(capacity)
	for i := range capacity {
		t.wantSpent(fmt.Sprint("key-", i), t.in(time.Hour))
		t.revoke(fmt.Sprint("session-", i), t.in(0), t.in(time.Hour))
	}
	t.wantFull("using a key too many", t.Use(t.Context(), "more", t.in(time.Hour)))
	for n := range 3 * capacity {
		user := fmt.Sprint("user-", n)
		if u := t.visit(identity(user), t.in(0)); !u.New {
			t.Errorf("visiting for the first time: it is not the first")
		}
		t.link(user, user, "linked to "+user)
	}
}

// testUsersMakeWay: those who were away for longest leave, where others need the room.
func testUsersMakeWay(t *trial) {
	const users = 5
	t.openDirectory(users)
	start := t.in(0)
	for n := range users {
		t.visit(identity(fmt.Sprint("user-", n)), start.Add(time.Duration(n)*time.Hour))
	}
	t.advance(stay - time.Nanosecond)
	t.wantNoRoom("visiting where nobody was away for long enough", identity("new"))
	t.visit(identity("user-2"), t.in(0))
	t.advance(2 * time.Hour)
	if u := t.visit(identity("user-0"), t.in(0)); u.New {
		t.Error("visiting after a long time, where nobody else needed the room: got a new user")
	}
	if u := t.visit(identity("new"), t.in(0)); !u.New { // in the place of user-1
		t.Error("visiting for the first time: got a known user")
	}
	t.wantUser(gateway.User{ID: "user-1"})
	t.wantOwner("user-1", "user-1")
	t.wantNoRoom("coming back after having left", identity("user-1"))
	t.advance(2 * time.Hour)
	u := t.visit(identity("user-1"), t.in(0)) // in the place of user-3
	if !u.New || !u.FirstVisit.Equal(t.in(0)) {
		t.Errorf("coming back after having left: got new %v since %v, want new since %v", u.New, u.FirstVisit, t.in(0))
	}
	for n, known := range map[int]bool{0: true, 1: true, 2: true, 3: false, 4: true} {
		id := fmt.Sprint("user-", n)
		if u := t.user(id); u.FirstVisit.IsZero() == known {
			t.Errorf("asking for %s, who is known: %v, got a first visit at %v", id, known, u.FirstVisit)
		}
	}
	t.advance(time.Hour)
	t.link("user-1", "user-1", "user-3") // who has left, and is nobody's
}

// testLinkedStay: somebody makes up users without end, in the hope that what others have
// linked comes apart, and their identities can be had.
func testLinkedStay(t *trial) {
	const users = 6
	t.openDirectory(users)
	t.visit(identity("alice"), t.in(0))
	t.link("alice", "alice", "work")
	for n := range users - 2 {
		t.visit(identity(fmt.Sprint("user-", n)), t.in(0))
	}
	for round := range 5 {
		t.advance(stay)
		for n := range users - 2 {
			t.visit(identity(fmt.Sprintf("new-%d-%d", round, n)), t.in(0))
		}
		t.wantNoRoom("visiting where only those could leave who have linked identities", identity("one more"))
		t.wantNoRoomToLink("linking where only those could leave who have linked identities", "alice", "home")
	}
	t.wantIdentities("alice", "alice", "work")
	t.wantOwner("work", "alice")
	t.advance(stay)
	t.link("alice", "work", "home")
	t.link("bob", "bob", "club") // which takes the room of two
	t.wantIdentities("alice", "alice", "work", "home")
	t.wantIdentities("bob", "bob", "club")
}

// testLinkSparesItsUser: who links an identity needs room for it, and not their own.
func testLinkSparesItsUser(t *trial) {
	t.openDirectory(2)
	first := t.in(0)
	t.visit(identity("alice"), first)
	t.visit(identity("bob"), first.Add(time.Hour))
	t.advance(stay + 2*time.Hour) // either could leave, and alice first
	want := gateway.User{
		ID: "alice", FirstVisit: first, LastVisit: t.in(0),
		Identities: []gateway.Identity{identity("alice"), identity("work")},
	}
	t.compare("linking, where oneself could leave", t.link("alice", "alice", "work"), want)
	t.wantUser(want)
	t.wantUser(gateway.User{ID: "bob"})
}

// testRefusalKeepsAll: where not enough users can leave, none does.
func testRefusalKeepsAll(t *trial) {
	t.openDirectory(3)
	t.link("alice", "alice", "work")
	t.visit(identity("bob"), t.in(0))
	bob := t.user("bob")
	t.advance(stay)
	t.wantNoRoomToLink("linking to a new user where one can leave", "carol", "home")
	t.wantUser(bob)
	t.wantUser(gateway.User{ID: "carol"})

	t.link("alice", "alice", "home")
	t.wantUser(gateway.User{ID: "bob"})
}
