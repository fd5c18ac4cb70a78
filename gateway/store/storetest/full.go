package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// testFull: somebody fills the store, in the hope that it drops what they used.
func testFull(t *trial) {
	const capacity = 20
	t.open(capacity)
	for i := range capacity {
		t.wantSpent(fmt.Sprint("key-", i), t.in(time.Duration(i+1)*time.Minute))
	}
	for i := range capacity {
		t.wantFull("using a key too many", t.Use(t.Context(), fmt.Sprint("more-", i), t.in(time.Hour)))
		t.wantUsed(fmt.Sprint("key-", i))
	}
	t.advance(time.Minute)
	t.wantSpent("new", t.in(time.Hour)) // in the place of the first
	t.wantFull("using a key too many", t.Use(t.Context(), "more-0", t.in(time.Hour)))
	for i := 1; i < capacity; i++ {
		t.wantUsed(fmt.Sprint("key-", i))
	}
}

func testLeave(t *trial) {
	const capacity = 20
	t.open(capacity)
	for round := range 5 {
		for i := range capacity {
			t.wantSpent(fmt.Sprintf("key-%d-%d", round, i), t.in(time.Minute))
		}
		t.wantFull("using a key too many", t.Use(t.Context(), "more", t.in(time.Minute)))
		t.advance(time.Minute + time.Second)
	}
}

// testOperatorsRoom: users sign in and out without end, in the hope that nobody can be
// logged out any more.
func testOperatorsRoom(t *trial) {
	const capacity, kept = 20, 2
	t.open(capacity)
	first := t.in(0)
	for i := range capacity {
		t.wantRoom("a user", t.mark(i, first, false))
	}
	for i := range kept {
		t.wantFull("revoking too much, by a user", t.mark(capacity+i, first, false))
		t.wantRoom("an operator", t.mark(capacity+i, first, true))
	}
	t.wantFull("revoking too much, by an operator", t.mark(capacity+kept, first, true))
	if t.subject.Survives {
		t.reopen()
		t.wantFull("revoking too much, by an operator, in a store that was opened again", t.mark(capacity+kept, first, true))
	}

	t.advance(time.Minute)
	second := t.in(0)
	for i := range capacity + kept {
		t.wantRevoked(fmt.Sprint("mark-", i), first)
		t.wantRoom("whoever prolongs what is held", t.mark(i, second, i%2 == 0))
	}
	t.advance(time.Hour - time.Minute) // which is as long as they were held at first
	t.wantFull("revoking too much, by a user, beside what was prolonged", t.mark(capacity+kept, second, false))
	for i := range capacity + kept {
		t.wantRevoked(fmt.Sprint("mark-", i), second)
	}

	t.advance(time.Minute)
	for i := range capacity {
		t.wantRoom("a user, once the others have had their time", t.mark(100+i, second, false))
	}
	t.wantFull("revoking too much, by a user, once more", t.mark(capacity, t.in(0), false))
	t.wantRoom("an operator, once more", t.mark(capacity, t.in(0), true))
}

// mark revokes for an hour.
func (t *trial) mark(i int, at time.Time, byOperator bool) error {
	return t.Revoke(t.Context(), gateway.Revocation{Key: fmt.Sprint("mark-", i), At: at, Until: t.in(time.Hour), ByOperator: byOperator})
}

func (t *trial) wantRoom(whom string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("revoking, where there is room for %s: got %v, want nil", whom, err)
	}
}

func (t *trial) wantFull(what string, err error) {
	t.Helper()
	if !errors.Is(err, gateway.ErrFull) {
		t.Errorf("%s: got %v, want %v", what, err, gateway.ErrFull)
	}
}
