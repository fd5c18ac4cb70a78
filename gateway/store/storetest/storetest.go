// Package storetest is what a [gateway.Store] has to pass. A store of your own
// proves itself in one test:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Subject{
//			Open: func(t *testing.T, o storetest.Options) (gateway.Store, error) {
//				return mystore.Open(filepath.Join(o.Place, "store"), o.Capacity, o.Users, o.Now)
//			},
//			Survives: true,
//			Bounded:  true,
//		})
//	}
//
// Run it with -race. What a store promises beyond the interface, such as to
// outlive a power loss, it has to show by itself.
package storetest

import (
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// A Subject is the kind of store under test.
type Subject struct {
	// Open opens a store. Every test opens its own, in a place of its own. Stores
	// that are an [io.Closer] are closed at the end of the test and have to refuse
	// everything from then on.
	Open func(t *testing.T, o Options) (gateway.Store, error)

	// Survives says that a store which is closed, and opened again in the same
	// place, holds what it held.
	Survives bool

	// Bounded says that the store takes Options.Capacity used-up keys at a time, apart
	// from these as many revocations, and a tenth on top of an operator's; and apart
	// from all these Options.Users users and identities that are linked to them.
	Bounded bool

	// Advance, if not nil, is told when the clock of the test moves: for a store
	// that goes by the clock of some server as well.
	Advance func(d time.Duration)
}

// Options are what a test wants of a store.
type Options struct {
	// Place is an empty directory of the test's own. What outlives the store goes
	// there, or under a name that is derived from it.
	Place string

	// Capacity is how many used-up keys there has to be room for, and how many
	// revocations, and no more if the store is bounded. 0: as many as the store likes,
	// and at least 10,000.
	Capacity int

	// Users is how many users and linked identities there has to be room for together,
	// and no more if the store is bounded. 0: as many as the store likes, and at least 10,000.
	Users int

	// Now is the clock of the test. It stands still until the test moves it.
	Now func() time.Time
}

// Run runs all tests of the suite that apply to the subject.
func Run(t *testing.T, s Subject) {
	run := func(name string, test func(*trial)) {
		t.Run(name, func(t *testing.T) { test(newTrial(t, s)) })
	}
	run("of many callers one wins", testOneWinner)
	run("keys that resemble each other are different", testDistinctKeys)
	run("keys of no length or too long are refused", testKeyLength)
	run("used and revoked keys are apart", testKindsApart)
	run("a key stays spent until its time", testUntil)
	run("a later use shortens nothing", testUseShortensNothing)
	run("until has passed", testUntilPassed)
	run("until is far away", testUntilFar)
	run("nothing is forgotten early", testNeverEarly)
	run("a context that is done spends nothing in silence", testContextDone)
	run("a context that ends never makes two winners", testContextEnds)
	run("a revocation is seen at once", testRevocationSeen)
	run("the latest revocation counts", testLatestRevocation)
	run("the latest of concurrent revocations counts", testConcurrentRevocations)
	run("a revocation is remembered until its time", testRevocationUntil)
	run("a revocation without a time is refused", testRevocationWithoutTime)
	run("everything at once", testEverything)
	run("a closed store refuses", testClosed)
	run("a probe tells and leaves nothing", testProbe)
	run("visits are recorded", testVisits)
	run("of concurrent visits one is the first", testOneFirstVisit)
	run("users who resemble each other are different", testDistinctUsers)
	run("the directory is apart", testDirectoryApart)
	run("identities of no ID or too large are refused", testDirectoryLimits)
	run("what is returned is the caller's own", testOwnUser)
	run("a context that is done records nothing in silence", testDirectoryContext)
	run("a closed directory refuses", testDirectoryClosed)
	run("an identity joins a user", testLink)
	run("an identity joins a user who is not known", testLinkUnknownUser)
	run("an identity of somebody else is refused", testTaken)
	run("a refused link is no visit", testRefusedVisit)
	run("a user has so many identities and no more", testMaxIdentities)
	run("of many users one is linked", testOneOwner)
	run("an identity is a user or linked", testUserOrLinked)
	run("a link is asked for once more before it is written", testUnless)
	run("no link comes after a revocation", testRevokedOrLinked)
	if s.Bounded {
		run("a full store refuses and recovers", testFull)
		run("expired entries leave", testLeave)
		run("an operator has room of their own", testOperatorsRoom)
		run("a probe of a full store tells", testProbeFull)
		run("a full directory refuses nobody who is known", testDirectoryFull)
		run("a store full of others leaves the directory alone", testFullOfOthers)
		run("users make way where others need the room", testUsersMakeWay)
		run("users with linked identities stay", testLinkedStay)
		run("who links is spared", testLinkSparesItsUser)
		run("a full directory keeps all where it refuses", testRefusalKeepsAll)
	}
	if s.Survives {
		run("what was used stays used", testUsedSurvives)
		run("what was revoked stays revoked", testRevokedSurvives)
		run("closing under load loses nothing", testCloseUnderLoad)
		run("users and links stay", testDirectorySurvives)
	}
}

// A trial is one test with its store.
type trial struct {
	*testing.T
	subject Subject
	options Options
	clock   *clock
	gateway.Store
}

func newTrial(t *testing.T, s Subject) *trial {
	c := &clock{now: time.Now()}
	return &trial{T: t, subject: s, clock: c, options: Options{Place: t.TempDir(), Now: c.Now}}
}

// open opens the trial's store, or opens it again.
func (t *trial) open(capacity int) {
	t.Helper()
	t.options.Capacity = capacity
	store, err := t.subject.Open(t.T, t.options)
	if err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Store = store
	t.Cleanup(func() { closeStore(t.T, store) })
}

func closeStore(t *testing.T, s gateway.Store) {
	t.Helper()
	if c, ok := s.(io.Closer); ok {
		if err := c.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	}
}

func (t *trial) reopen() {
	t.Helper()
	closeStore(t.T, t.Store)
	t.open(t.options.Capacity)
}

func (t *trial) advance(d time.Duration) {
	t.clock.advance(d)
	if t.subject.Advance != nil {
		t.subject.Advance(d)
	}
}

// in is the time that is d away on the clock of the test.
func (t *trial) in(d time.Duration) time.Time { return t.clock.Now().Add(d) }

// A clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// wantSpent says that key can be used, and then no more.
func (t *trial) wantSpent(key string, until time.Time) {
	t.Helper()
	if err := t.Use(t.Context(), key, until); err != nil {
		t.Fatalf("using %.40q for the first time: got %v, want nil", key, err)
	}
	t.wantUsed(key)
}

func (t *trial) wantUsed(key string) {
	t.Helper()
	if err := t.Use(t.Context(), key, t.in(time.Minute)); !errors.Is(err, gateway.ErrUsed) {
		t.Fatalf("using %.40q again: got %v, want %v", key, err, gateway.ErrUsed)
	}
}

// wantRefusal says that err is that the store cannot do it, not that a key was used.
func (t *trial) wantRefusal(what string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, gateway.ErrUsed) {
		t.Errorf("%s: got %v, want an error other than %q", what, err, gateway.ErrUsed)
	}
}

func (t *trial) revoke(key string, at, until time.Time) {
	t.Helper()
	if err := t.Revoke(t.Context(), gateway.Revocation{Key: key, At: at, Until: until}); err != nil {
		t.Fatalf("revoking %.40q: %v", key, err)
	}
}

// wantRevoked says when key was revoked; the zero time: not at all.
func (t *trial) wantRevoked(key string, at time.Time) {
	t.Helper()
	got, err := t.RevokedAt(key)
	if err != nil || !got.Equal(at) {
		t.Fatalf("asking when %.40q was revoked: got %v, %v, want %v", key, got, err, at)
	}
}
