package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

const years = 365 * 24 * time.Hour

func (w *world) revokeSession(t *testing.T, sid string) {
	t.Helper()
	if err := w.env.RevokeSession(context.Background(), sid); err != nil {
		t.Fatalf("revoking session %s: %v", sid, err)
	}
}

func (w *world) revokeUser(t *testing.T, id string) {
	t.Helper()
	if err := w.env.RevokeUser(context.Background(), id); err != nil {
		t.Fatalf("revoking all sessions of %s: %v", id, err)
	}
}

func (w *world) wantAuthenticated(t *testing.T, credential string, want verifier.Code) {
	t.Helper()
	_, err := w.env.Authenticate(context.Background(), credential)
	wantCode(t, err, want)
	wantSecret(t, err, credential)
}

func (w *world) wantSignedIn(t *testing.T, external string, want verifier.Code) {
	t.Helper()
	_, _, err := w.env.SignIn(context.Background(), external, nil)
	wantCode(t, err, want)
}

// wantElevated presents an elevated token with a JWT of alice that was issued just now.
func (w *world) wantElevated(t *testing.T, el *gateway.Elevated, want verifier.Code) {
	t.Helper()
	later := w.authenticate(t, w.external("alice", map[string]any{"jti": uuid.NewString()}))
	_, err := w.stepUp(later, gateway.Proof{Elevated: el.Token}, gateway.Need{Scopes: el.Scopes})
	wantCode(t, err, want)
}

// An operator knows a session's ID from a log line, and nothing else of it.
func TestOperatorEndsASessionByItsIDAlone(t *testing.T) {
	w := newWorld(t)
	token := w.external("alice")
	s, sibling := w.signIn(t, token), w.signIn(t, token)
	fresh, err := w.env.Refresh(context.Background(), s)
	wantCode(t, err, "")
	el, inline := w.elevate(t, s, "wallet:export"), w.authenticate(t, token)
	w.wantAuthenticated(t, fresh.Token, "")

	w.revokeSession(t, s.ID)
	for _, credential := range []string{s.Token, fresh.Token, token} {
		w.wantAuthenticated(t, credential, gateway.CodeSessionRevoked)
	}
	for _, ended := range []*gateway.Session{s, fresh, inline} {
		wantCode(t, w.env.Standing(ended), gateway.CodeSessionRevoked)
	}
	before := w.local.count()
	w.wantSignedIn(t, token, gateway.CodeSessionRevoked)
	if w.local.count() != before {
		t.Error("the exchanger was asked for a session that cannot be")
	}
	w.wantElevated(t, el, gateway.CodeElevatedInvalid)

	w.wantAuthenticated(t, sibling.Token, "") // it is another session
	wantCode(t, w.env.Standing(sibling), "")
	w.wantElevated(t, w.elevate(t, sibling, "wallet:export"), "")
}

// Whoever gives the external JWT itself up means all that it was good for, and so does
// an operator who ends the session that it stands for.
func TestGivingUpTheExternalJWTEndsAllThatCameFromIt(t *testing.T) {
	for name, revoke := range map[string]func(t *testing.T, w *world, s *gateway.Session){
		"by its holder": func(t *testing.T, w *world, s *gateway.Session) {
			if err := w.env.Revoke(context.Background(), s); err != nil {
				t.Fatal(err)
			}
		},
		"by an operator": func(t *testing.T, w *world, s *gateway.Session) { w.revokeSession(t, s.ID) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			token := w.external("alice")
			one, two := w.signIn(t, token), w.signIn(t, token)
			other := w.signIn(t, w.external("alice", map[string]any{"jti": "another"}))
			el, inline := w.elevate(t, one, "wallet:export"), w.authenticate(t, token)

			revoke(t, w, inline)
			for _, credential := range []string{token, inline.Token, one.Token, two.Token} {
				w.wantAuthenticated(t, credential, gateway.CodeSessionRevoked)
			}
			wantCode(t, w.env.Standing(two), gateway.CodeSessionRevoked)
			w.wantSignedIn(t, token, gateway.CodeSessionRevoked)
			w.wantElevated(t, el, gateway.CodeElevatedInvalid)
			_, err := w.env.Refresh(context.Background(), two)
			wantCode(t, err, gateway.CodeSessionRevoked)
			w.wantAuthenticated(t, other.Token, "")
		})
	}
}

// From a session's ID nobody can tell how long the JWT behind it is good for.
func TestWhatAnOperatorEndedStaysEnded(t *testing.T) {
	w := newWorld(t)
	long := func(jti string) string {
		return w.external("alice", map[string]any{"jti": jti, "exp": w.clock.Now().Add(9 * years).Unix()})
	}
	ended, other := long("ended"), long("other")
	w.revokeSession(t, w.signIn(t, ended).ID)
	w.clock.Advance(8 * years)
	w.wantAuthenticated(t, ended, gateway.CodeSessionRevoked)
	w.wantAuthenticated(t, other, "")
}

// A slip of the operator's must not pass for a revocation; and what was pasted in the wrong place may be a token.
func TestWhatIsNoSessionID(t *testing.T) {
	watch := &recorder{}
	w := newWorld(t, func(c *gateway.Config) { c.Observer = watch })
	s := w.signIn(t, w.external("alice"))
	inline := w.authenticate(t, w.external("alice"))
	random := uuid.NewString()
	for name, sid := range map[string]string{
		"nothing": "", "a word": "alice", "a user id": s.UserID, "another uuid": random, "upper case": strings.ToUpper(s.ID),
		"another origin": random + "." + random, "half": inline.ID + ".", "the other half": "." + random,
		"more": s.ID + "." + random, "space": s.ID + " ", "braces": "{" + inline.ID + "}", "no uuid after it": inline.ID + ".1",
		"urn": "urn:uuid:" + inline.ID, "a token": s.Token, "very long": strings.Repeat("a", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			err := w.env.RevokeSession(context.Background(), sid)
			wantCode(t, err, gateway.CodeBadRequest)
			if last := watch.events[len(watch.events)-1]; last.SessionID != "" || last.Code != gateway.CodeBadRequest {
				t.Errorf("observed %+v, want a bad request without an id", last)
			}
			if len(sid) > 10 && strings.Contains(err.Error(), sid) {
				t.Errorf("the error repeats what was given: %v", err)
			}
		})
	}
	if got := w.store.revoked.Load(); got != 0 {
		t.Errorf("%d marks recorded, want none", got)
	}
	w.wantAuthenticated(t, s.Token, "")
	w.revokeSession(t, inline.ID)
	w.revokeSession(t, s.ID)
	if last := watch.events[len(watch.events)-1]; last.SessionID != s.ID || last.Code != "" || last.Kind != gateway.EventRevoke {
		t.Errorf("observed %+v, want the revocation of %s", last, s.ID)
	}
}

func TestOperatorEndsAllThatAUserHas(t *testing.T) {
	w := newWorld(t)
	token, unseen := w.external("alice"), w.external("alice", map[string]any{"jti": "never seen"})
	s := w.signIn(t, token)
	fresh, err := w.env.Refresh(context.Background(), s)
	wantCode(t, err, "")
	inline, el := w.authenticate(t, token), w.elevate(t, s, "wallet:export")
	bob := w.external("bob")
	bobs := w.signIn(t, bob)
	w.clock.Advance(time.Minute)

	w.revokeUser(t, s.UserID)
	for _, credential := range []string{s.Token, fresh.Token, inline.Token, token, unseen} {
		w.wantAuthenticated(t, credential, gateway.CodeSessionRevoked)
	}
	for _, external := range []string{token, unseen} {
		w.wantSignedIn(t, external, gateway.CodeSessionRevoked)
	}
	for _, ended := range []*gateway.Session{s, fresh, inline} {
		wantCode(t, w.env.Standing(ended), gateway.CodeSessionRevoked)
	}
	for _, credential := range []string{bob, bobs.Token} {
		w.wantAuthenticated(t, credential, "")
	}

	w.clock.Advance(time.Second)
	w.wantElevated(t, el, gateway.CodeElevatedInvalid)
	again := w.signIn(t, w.external("alice")) // who signs in anew is welcome
	w.wantElevated(t, w.elevate(t, again, "wallet:export"), "")
}

// Dates in tokens are whole seconds: within the second of the revocation nobody can tell before from after.
func TestTheSecondOfARevocationCountsAsBefore(t *testing.T) {
	w := newWorld(t, lenient(t))
	w.clock.Advance(w.clock.Now().Truncate(time.Second).Add(1100 * time.Millisecond).Sub(w.clock.Now()))
	w.revokeUser(t, w.authenticate(t, w.external("alice")).UserID)
	w.clock.Advance(800 * time.Millisecond)
	w.wantAuthenticated(t, w.external("alice", map[string]any{"jti": "same second"}), gateway.CodeSessionRevoked)
	ahead := w.external("alice", map[string]any{"iat": w.clock.Now().Add(time.Second).Unix()})
	w.wantSignedIn(t, ahead, gateway.CodeSessionRevoked) // its clock is ahead: ours knows better when the session began
	w.clock.Advance(100 * time.Millisecond)
	w.wantAuthenticated(t, w.external("alice", map[string]any{"jti": "next second"}), "")
	w.wantSignedIn(t, ahead, "")
}

// A login system's clock may be ahead: what was used before the revocation is over, and
// the JWT itself comes back when it is verified anew, since its iat is after it.
func TestWhatIsRememberedIsHeldToOurClockAsWell(t *testing.T) {
	w := newWorld(t, lenient(t))
	iat := func(ahead time.Duration, jti string) string {
		return w.external("alice", map[string]any{"iat": w.clock.Now().Add(ahead).Unix(), "jti": jti})
	}
	ahead, unseen, right := iat(20*time.Second, "ahead"), iat(20*time.Second, "unseen"), iat(0, "right")
	s := w.signIn(t, ahead)
	for _, token := range []string{ahead, right} {
		w.authenticate(t, token)
	}
	w.clock.Advance(5 * time.Second)
	w.revokeUser(t, s.UserID)
	w.clock.Advance(2 * time.Second)
	for _, over := range []string{s.Token, ahead, right} {
		w.wantAuthenticated(t, over, gateway.CodeSessionRevoked)
	}
	w.wantSignedIn(t, right, gateway.CodeSessionRevoked)
	w.wantAuthenticated(t, unseen, "")
	w.wantSignedIn(t, ahead, "")
}

// lenient lets the clock of the world's provider be ahead.
func lenient(t *testing.T) func(*gateway.Config) {
	return func(c *gateway.Config) {
		old := c.Providers[0].Verifier
		v, err := verifier.New(verifier.Config{
			Issuer: old.Issuer(), Audiences: []string{audience}, Keys: old.Keys(), Leeway: 30 * time.Second, Now: c.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Providers[0].Verifier = v
	}
}

// Whoever holds a JWT that does not say when it was issued could otherwise go on with it.
func TestJWTWithoutTimeOfIssueDoesNotOutliveARevocation(t *testing.T) {
	w := newWorld(t)
	silent := func(exp time.Duration) string {
		return w.external("alice", map[string]any{"iat": nil, "exp": w.clock.Now().Add(exp).Unix()})
	}
	old := silent(60 * 24 * time.Hour)
	s := w.signIn(t, old)
	w.revokeUser(t, s.UserID)
	w.clock.Advance(48 * time.Hour)
	for _, credential := range []string{old, silent(time.Hour)} {
		_, err := w.env.Authenticate(context.Background(), credential)
		wantCode(t, err, gateway.CodeSessionRevoked)
		if !strings.Contains(err.Error(), "iat") {
			t.Errorf("error %q, want one that names what is missing", err)
		}
		w.wantSignedIn(t, credential, gateway.CodeSessionRevoked)
	}
	w.wantSignedIn(t, w.external("alice"), "")
	w.wantSignedIn(t, w.external("bob", map[string]any{"iat": nil}), "")
}

func TestARevocationOfAUserOutlastsTheirLongestJWT(t *testing.T) {
	w := newWorld(t)
	old := w.external("alice", map[string]any{"exp": w.clock.Now().Add(9 * years).Unix()})
	w.revokeUser(t, w.authenticate(t, old).UserID)
	w.clock.Advance(8 * years)
	w.wantAuthenticated(t, old, gateway.CodeSessionRevoked)
	w.wantAuthenticated(t, w.external("alice"), "")
}

func TestWhatIsNoUserID(t *testing.T) {
	watch := &recorder{}
	w := newWorld(t, func(c *gateway.Config) { c.Observer = watch })
	s := w.signIn(t, w.external("alice"))
	for name, id := range map[string]string{
		"nothing": "", "an external id": "alice", "upper case": strings.ToUpper(s.UserID), "braces": "{" + s.UserID + "}",
		"urn": "urn:uuid:" + s.UserID, "no hyphens": strings.ReplaceAll(s.UserID, "-", ""), "a session id": s.ID, "a token": s.Token,
		"a session's origin": s.Origin, "a random uuid": uuid.NewString(), "the other version": s.UserID[:14] + "8" + s.UserID[15:],
	} {
		t.Run(name, func(t *testing.T) {
			err := w.env.RevokeUser(context.Background(), id)
			wantCode(t, err, gateway.CodeBadRequest)
			if last := watch.events[len(watch.events)-1]; last.UserID != "" || last.Code != gateway.CodeBadRequest {
				t.Errorf("observed %+v, want a bad request without an id", last)
			}
			wantSecret(t, err, s.Token)
		})
	}
	if got := w.store.revoked.Load(); got != 0 {
		t.Errorf("%d marks recorded, want none", got)
	}
	w.revokeUser(t, s.UserID)
	if last := watch.events[len(watch.events)-1]; last.UserID != s.UserID || last.SessionID != "" || last.Code != "" {
		t.Errorf("observed %+v, want the revocation of %s", last, s.UserID)
	}
}

// A revocation that was not recorded must not look like one that was.
func TestARevocationThatCannotBeRecordedFails(t *testing.T) {
	ctx := context.Background()
	for name, revoke := range map[string]func(w *world, s *gateway.Session) error{
		"a session":           func(w *world, s *gateway.Session) error { return w.env.Revoke(ctx, s) },
		"a session by its id": func(w *world, s *gateway.Session) error { return w.env.RevokeSession(ctx, s.ID) },
		"an external JWT":     func(w *world, s *gateway.Session) error { return w.env.RevokeSession(ctx, s.Origin) },
		"a user":              func(w *world, s *gateway.Session) error { return w.env.RevokeUser(ctx, s.UserID) },
	} {
		t.Run(name, func(t *testing.T) {
			watch := &recorder{}
			w := newWorld(t, func(c *gateway.Config) { c.Observer = watch })
			s := w.signIn(t, w.external("alice"))
			w.store.broken = true
			wantCode(t, revoke(w, s), gateway.CodeStoreUnavailable)
			if len(watch.events) != 1 || watch.events[0].Code != gateway.CodeStoreUnavailable {
				t.Errorf("observed %+v, want one failure", watch.events)
			}
			w.store.broken = false
			w.wantAuthenticated(t, s.Token, "")
			wantCode(t, revoke(w, s), "")
			w.wantAuthenticated(t, s.Token, gateway.CodeSessionRevoked)
		})
	}
}

// Environments that share a store are strangers to each other all the same.
func TestRevocationsStayInTheirEnvironment(t *testing.T) {
	w := newWorld(t)
	s := w.signIn(t, w.external("alice"))
	other := newWorld(t, func(c *gateway.Config) {
		c.ID, c.Store = "11111111-1111-4111-8111-111111111111", w.store
	})
	ctx := context.Background()
	for _, err := range []error{
		other.env.RevokeSession(ctx, s.ID), other.env.RevokeSession(ctx, s.Origin), other.env.RevokeUser(ctx, s.UserID), other.env.Disable(ctx),
	} {
		wantCode(t, err, "")
	}
	w.wantAuthenticated(t, s.Token, "")
}

// What is asked at every request must cost next to nothing.
func TestARememberedCredentialCostsFewAllocations(t *testing.T) {
	w := newWorld(t)
	token := w.external("alice")
	w.authenticate(t, token)
	const most = 5
	if got := testing.AllocsPerRun(100, func() { _, _ = w.env.Authenticate(context.Background(), token) }); got > most {
		t.Errorf("%v allocations, want at most %d", got, most)
	}
}
