package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

var errUnless = errors.New("the session was given up")

// testUnless: the session that a link rests on is given up while the link is on its way.
func testUnless(t *trial) {
	t.open(0)
	t.visit(identity("alice"), t.in(0))
	t.link("alice", "alice", "home")
	t.visit(identity("bob"), t.in(0))
	before := t.user("alice")
	t.revoke("session", t.in(0), t.in(time.Hour))
	t.advance(time.Minute)
	for what, l := range map[string]gateway.Link{
		"linking":                    t.newLink("alice", "alice", "work"),
		"linking once more":          t.newLink("alice", "alice", "home"),
		"linking to an unknown user": t.newLink("carol", "carol", "work"),
		"linking nothing":            t.newLink("carol", "carol", "carol"),
	} {
		owner, err := t.Owner(l.Joins.ID)
		if err != nil {
			t.Fatalf("asking for an owner: got %v, want nil", err)
		}
		asked := false
		l.Unless = func() error {
			asked = true
			t.wantRevoked("session", t.in(-time.Minute)) // would hang, if it were asked under a lock of these
			t.wantOwner(l.Joins.ID, owner)
			return errUnless
		}
		if _, err := t.Link(t.Context(), l); !errors.Is(err, errUnless) || err.Error() != errUnless.Error() {
			t.Errorf("%s, which is refused at last: got %v, want %v as it is", what, err, errUnless)
		}
		if !asked {
			t.Errorf("%s: nobody has asked", what)
		}
	}
	t.wantUser(before)
	t.wantUser(gateway.User{ID: "carol"})
	t.wantOwner("work", "work")

	taken := t.newLink("alice", "alice", "bob")
	taken.Unless = func() error { return errUnless }
	if _, err := t.Link(t.Context(), taken); !errors.Is(err, gateway.ErrIdentityTaken) {
		t.Errorf("linking another user, which is refused at last: got %v, want %v", err, gateway.ErrIdentityTaken)
	}
	l := t.newLink("alice", "alice", "work")
	l.Unless = func() error { return nil }
	if _, err := t.Link(t.Context(), l); err != nil {
		t.Errorf("linking what nothing speaks against: got %v, want nil", err)
	}
	t.wantOwner("work", "alice")
}

// testRevokedOrLinked: a session is given up in the very moment in which a link that rests
// on it is written. Once that has returned, the link is there already, or is never made.
func testRevokedOrLinked(t *trial) {
	t.open(0)
	for round := range 10 {
		user, joins, session := fmt.Sprint("user-", round), fmt.Sprint("joins-", round), fmt.Sprint("session-", round)
		var owner string // when the revocation has returned
		asked, revoked := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(revoked)
			<-asked
			if err := t.Revoke(t.Context(), gateway.Revocation{Key: session, At: t.in(0), Until: t.in(time.Hour)}); err != nil {
				t.Errorf("revoking while something is linked: got %v, want nil", err)
			}
			owner, _ = t.Owner(joins)
		}()
		ask := sync.OnceFunc(func() { close(asked) })
		l := t.newLink(user, user, joins)
		l.Unless = func() error {
			if at, err := t.RevokedAt(session); err != nil || !at.IsZero() {
				return errUnless
			}
			ask()
			if round%2 == 0 { // else they race
				select {
				case <-revoked: // which a store does not let happen
				case <-time.After(5 * time.Millisecond):
				}
			}
			return nil
		}
		_, err := t.Link(t.Context(), l)
		ask()
		<-revoked
		switch {
		case err == nil && owner != user:
			t.Errorf("linking while something is revoked: the link came after the revocation")
		case err != nil && !errors.Is(err, errUnless):
			t.Errorf("linking while something is revoked: got %v, want nil or %v", err, errUnless)
		}
	}
}
