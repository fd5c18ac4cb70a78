package gateway_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

func another() map[string]any { return map[string]any{"jti": uuid.NewString()} }

// An account that was taken over is revoked. The JWTs that the thief still has must not
// come back as somebody else's, whatever was or is linked.
func TestALinkIsNoWayAroundTheRevocationOfItsOwnUser(t *testing.T) {
	w := newLinkWorld(t)
	stolen, unseen := w.atWork("a.smith"), w.atWork("a.smith", another())
	inline := w.authenticate(t, stolen)
	w.revokeUser(t, inline.UserID)
	w.clock.Advance(time.Second)
	alice := w.signIn(t, w.external("alice"))
	later := w.atWork("a.smith")
	s := w.link(t, later, alice)
	w.watch.want(t, "")

	for _, env := range []*gateway.Environment{w.env, w.instance(t, withoutLink)} {
		for _, credential := range []string{stolen, unseen, inline.Token} {
			_, err := env.Authenticate(context.Background(), credential)
			wantCode(t, err, gateway.CodeSessionRevoked)
			_, err = env.Identify(context.Background(), credential)
			wantCode(t, err, gateway.CodeSessionRevoked)
		}
	}
	for _, jwt := range []string{stolen, unseen} {
		w.wantSignedIn(t, jwt, gateway.CodeSessionRevoked)
		_, _, err := w.env.SignIn(context.Background(), jwt, alice)
		wantCode(t, err, gateway.CodeSessionRevoked)
	}
	wantCode(t, w.env.Standing(inline), gateway.CodeSessionRevoked)
	w.wantUser(t, later, alice.UserID)
	w.wantUser(t, s.Token, alice.UserID)
}

// The operator may know the identity alone, from a line of before it was linked.
func TestRevokingALinkedIdentityEndsWhatCameFromIt(t *testing.T) {
	w := newLinkWorld(t)
	ctx := context.Background()
	jwt, unseen := w.atWork("a.smith"), w.atWork("a.smith", another())
	alice := w.signIn(t, w.external("alice"))
	s := w.link(t, jwt, alice)
	fresh, err := w.env.Refresh(ctx, s)
	wantCode(t, err, "")
	inline := w.authenticate(t, jwt)
	w.clock.Advance(time.Minute)

	w.revokeUser(t, w.workID("a.smith"))
	for _, credential := range []string{jwt, unseen, s.Token, fresh.Token, inline.Token} {
		w.wantAuthenticated(t, credential, gateway.CodeSessionRevoked)
	}
	for _, ended := range []*gateway.Session{s, fresh, inline} {
		wantCode(t, w.env.Standing(ended), gateway.CodeSessionRevoked)
	}
	w.wantSignedIn(t, unseen, gateway.CodeSessionRevoked)
	_, err = w.env.Refresh(ctx, s)
	wantCode(t, err, gateway.CodeSessionRevoked)
	_, err = w.env.Elevate(ctx, s, w.work.Assertion("a.smith", "wallet:export", nil))
	wantCode(t, err, gateway.CodeSessionRevoked)

	w.wantUser(t, alice.Token, alice.UserID) // the rest of the user's is theirs
	w.clock.Advance(time.Second)
	w.wantUser(t, w.atWork("a.smith"), alice.UserID)
}

func TestRevokingAUserEndsAllTheirIdentities(t *testing.T) {
	w := newLinkWorld(t)
	jwt, work, unseen := w.external("alice"), w.atWork("a.smith"), w.atWork("a.smith", another())
	alice := w.signIn(t, jwt)
	s := w.link(t, work, alice)
	inline := w.authenticate(t, work)
	el := w.elevateAtWork(t, s, "wallet:export")
	bob := w.link(t, w.atWork("b.jones"), w.signIn(t, w.external("bob")))
	w.clock.Advance(time.Minute)

	w.revokeUser(t, alice.UserID)
	for _, credential := range []string{jwt, work, unseen, alice.Token, s.Token, inline.Token} {
		w.wantAuthenticated(t, credential, gateway.CodeSessionRevoked)
	}
	for _, external := range []string{jwt, work, unseen} {
		w.wantSignedIn(t, external, gateway.CodeSessionRevoked)
	}
	for _, ended := range []*gateway.Session{alice, s, inline} {
		wantCode(t, w.env.Standing(ended), gateway.CodeSessionRevoked)
	}
	w.wantUser(t, bob.Token, bob.UserID)

	w.clock.Advance(time.Second)
	w.wantElevated(t, el, gateway.CodeElevatedInvalid)
	again := w.signIn(t, w.atWork("a.smith"))
	if again.UserID != alice.UserID {
		t.Errorf("a revocation made %s of %s", again.UserID, alice.UserID)
	}
	w.wantElevated(t, w.elevateAtWork(t, w.authenticate(t, w.atWork("a.smith")), "wallet:export"), "")
}

// Where one session of an identity is given up, the user's others go on.
func TestGivingUpALinkedSessionLeavesTheOthers(t *testing.T) {
	w := newLinkWorld(t)
	alice, work := w.signIn(t, w.external("alice")), w.atWork("a.smith")
	s := w.link(t, work, alice)
	wantCode(t, w.env.Revoke(context.Background(), s), "")
	w.wantAuthenticated(t, s.Token, gateway.CodeSessionRevoked)
	w.wantAuthenticated(t, work, gateway.CodeSessionRevoked)
	w.wantUser(t, alice.Token, alice.UserID)
	w.wantUser(t, w.atWork("a.smith", another()), alice.UserID)
}

// An identity can have come with requests before it is linked. What it had as the user
// that it made by itself must not go on: an upstream would take one person for two.
func TestWhatALinkedIdentityHadBefore(t *testing.T) {
	w := newLinkWorld(t)
	ctx := context.Background()
	jwt := w.atWork("a.smith")
	inline := w.wantUser(t, jwt, w.workID("a.smith"))
	old := w.wantUser(t, inline.Token, w.workID("a.smith"))
	el := w.elevateAtWork(t, old, "wallet:export")
	other := w.instance(t) // has never seen any of it
	alice := w.signIn(t, w.external("alice"))
	ways := map[string]struct {
		try  func() error
		want verifier.Code
	}{
		"a stream":            {func() error { return w.env.Standing(inline) }, gateway.CodeSessionRevoked},
		"a stream by token":   {func() error { return w.env.Standing(old) }, gateway.CodeSessionRevoked},
		"a remembered token":  {func() error { _, err := w.env.Authenticate(ctx, inline.Token); return err }, gateway.CodeSessionRevoked},
		"a token seen anew":   {func() error { _, err := w.instance(t).Authenticate(ctx, inline.Token); return err }, gateway.CodeSessionRevoked},
		"giving it up":        {func() error { _, err := w.env.Identify(ctx, inline.Token); return err }, gateway.CodeSessionRevoked},
		"a refresh":           {func() error { _, err := w.env.Refresh(ctx, old); return err }, gateway.CodeSessionRevoked},
		"the JWT":             {func() error { _, err := w.env.Authenticate(ctx, jwt); return err }, ""},
		"the JWT, seen anew":  {func() error { _, err := other.Authenticate(ctx, jwt); return err }, ""},
		"the JWT, given up":   {func() error { _, err := w.env.Identify(ctx, jwt); return err }, ""},
		"the JWT, signing in": {func() error { _, _, err := w.env.SignIn(ctx, jwt, alice); return err }, ""},
		"an elevation": {func() error {
			_, err := w.env.Elevate(ctx, old, w.work.Assertion("a.smith", "wallet:export", nil))
			return err
		}, gateway.CodeSessionRevoked},
		"an elevated token": {func() error {
			_, err := w.stepUp(old, gateway.Proof{Elevated: el.Token}, gateway.Need{Scopes: el.Scopes})
			return err
		}, gateway.CodeElevatedInvalid},
	}
	for _, name := range []string{"a stream", "a remembered token", "a refresh", "an elevation", "giving it up"} {
		wantCode(t, ways[name].try(), "")
	}
	s := w.link(t, jwt, alice)
	for name, way := range ways {
		if err := way.try(); gateway.CodeOf(err) != way.want || (err == nil) != (way.want == "") {
			t.Errorf("%s: code %q (error %v), want %q", name, gateway.CodeOf(err), err, way.want)
		}
	}
	w.wantUser(t, s.Token, alice.UserID)
	if now := w.wantUser(t, jwt, alice.UserID); now.ID != inline.ID || now.Token == inline.Token {
		t.Errorf("the JWT stands for session %s, want %s with a new token", now.ID, inline.ID)
	}
	_, err := w.stepUp(w.authenticate(t, jwt), gateway.Proof{Elevated: el.Token}, gateway.Need{Scopes: el.Scopes})
	wantCode(t, err, gateway.CodeElevatedSubjectMismatch)
}

// An elevated token of the user whom an identity made by itself is good until the link, and only then.
func TestAnElevatedTokenOfBeforeTheLinkWasGood(t *testing.T) {
	for _, c := range []struct {
		linked bool
		want   verifier.Code
	}{{false, ""}, {true, gateway.CodeElevatedInvalid}} {
		w := newLinkWorld(t)
		old := w.authenticate(t, w.authenticate(t, w.atWork("a.smith")).Token)
		el := w.elevateAtWork(t, old, "wallet:export")
		if c.linked {
			w.link(t, w.atWork("a.smith"), w.signIn(t, w.external("alice")))
		}
		_, err := w.stepUp(old, gateway.Proof{Elevated: el.Token}, gateway.Need{Scopes: el.Scopes})
		wantCode(t, err, c.want)
	}
}

// What is asked at every request must cost next to nothing for a linked identity, too.
func TestARememberedLinkedCredentialCostsFewAllocations(t *testing.T) {
	w := newLinkWorld(t)
	jwt := w.atWork("a.smith")
	w.link(t, jwt, w.signIn(t, w.external("alice")))
	w.authenticate(t, jwt)
	const most = 5
	if got := testing.AllocsPerRun(100, func() { _, _ = w.env.Authenticate(context.Background(), jwt) }); got > most {
		t.Errorf("%v allocations, want at most %d", got, most)
	}
}
