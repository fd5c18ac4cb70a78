package caddymodule

import (
	"errors"
	"testing"
)

func poolSize() (n int) {
	pool.Range(func(any, any) bool { n++; return true })
	return n
}

// thing counts how often it is opened and closed.
type thing struct{ opened, closed int }

func (x *thing) open() (*thing, func() error, error) {
	x.opened++
	return x, func() error { x.closed++; return nil }, nil
}

// During a reload two configs hold one thing: it is opened once, and closed with the last of them.
func TestPoolClosesWithTheLastUser(t *testing.T) {
	x, before := new(thing), poolSize()
	old, next := new(lease), new(lease)
	for _, l := range []*lease{old, next} {
		if got, err := borrow(l, t.Name(), x.open); err != nil || got != x {
			t.Fatal(got, err)
		}
	}
	for _, step := range []struct {
		release *lease
		closed  int
	}{{old, 0}, {old, 0}, {next, 1}, {next, 1}} { // a config is cleaned up twice without harm
		if err := step.release.release(); err != nil {
			t.Fatal(err)
		}
		if x.closed != step.closed {
			t.Errorf("closed %d times, want %d", x.closed, step.closed)
		}
	}
	if x.opened != 1 || poolSize() != before {
		t.Errorf("opened %d times, and the pool grew by %d", x.opened, poolSize()-before)
	}
}

// A config that was refused half-way lets go of what it got, and of nothing that it did not.
func TestPoolSurvivesARefusedConfig(t *testing.T) {
	x := new(thing)
	running, refused := new(lease), new(lease)
	if _, err := borrow(running, t.Name(), x.open); err != nil {
		t.Fatal(err)
	}
	broken := func() (*thing, func() error, error) { return nil, nil, errors.New("cannot be opened") }
	if _, err := borrow(refused, t.Name()+" other", broken); err == nil {
		t.Fatal("no error")
	}
	if err := refused.release(); err != nil {
		t.Fatal(err)
	}
	if x.closed != 0 {
		t.Error("the running config's thing was closed")
	}
	if _, err := borrow(refused, t.Name(), x.open); err == nil {
		t.Error("a config that is gone could still borrow: nobody would let go of it")
	}
	if err := running.release(); err != nil || x.closed != 1 {
		t.Errorf("closed %d times, error %v", x.closed, err)
	}
}

// Caddy cleans a config up while its last requests are still under way.
func TestPoolClosesAfterTheLastRequest(t *testing.T) {
	for _, c := range []struct {
		name   string
		steps  func(l *lease)
		closed int
	}{
		{"released with no request under way", func(l *lease) { l.enter(); l.leave(); _ = l.release() }, 1},
		{"released under a request", func(l *lease) { l.enter(); _ = l.release() }, 0},
		{"released under two requests, of which one has ended", func(l *lease) { l.enter(); l.enter(); _ = l.release(); l.leave() }, 0},
		{"released under two requests, which have ended", func(l *lease) { l.enter(); l.enter(); _ = l.release(); l.leave(); l.leave() }, 1},
		{"a request that comes late", func(l *lease) { _ = l.release(); l.enter(); l.leave() }, 1},
		{"cleaned up twice under a request", func(l *lease) { l.enter(); _ = l.release(); _ = l.release() }, 0},
		{"not released", func(l *lease) { l.enter(); l.leave() }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, l := new(thing), new(lease)
			if _, err := borrow(l, t.Name(), x.open); err != nil {
				t.Fatal(err)
			}
			c.steps(l)
			if x.closed != c.closed {
				t.Errorf("closed %d times, want %d", x.closed, c.closed)
			}
			for l.requests > 0 {
				l.leave()
			}
			if _ = l.release(); x.closed != 1 {
				t.Errorf("in the end closed %d times, want once", x.closed)
			}
		})
	}
}

// What a request opens for the first time after its config has gone is let go of as well.
func TestPoolTakesFromALateRequestWhatItOpens(t *testing.T) {
	x, l := new(thing), new(lease)
	l.enter()
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	if _, err := borrow(l, t.Name(), x.open); err != nil {
		t.Fatal(err)
	}
	l.leave()
	if x.opened != 1 || x.closed != 1 {
		t.Errorf("opened %d and closed %d times, want once each", x.opened, x.closed)
	}
}

// While the servers of an earlier config shut down, requests still come to it.
func TestLeaseOfAConfigThatHasServedLingers(t *testing.T) {
	served, refused := new(lease), new(lease)
	served.serve()
	for _, l := range []*lease{served, refused} {
		if err := l.leaveBehind(true); err != nil {
			t.Fatal(err)
		}
	}
	served.enter()
	served.leave()
	if served.ended() {
		t.Error("a late request found everything closed, or closed it for the next one")
	}
	if !refused.ended() {
		t.Error("a config that never served holds on to what it opened")
	}
	if err := new(lease).leaveBehind(false); err != nil {
		t.Fatal(err)
	}
	if !served.ended() {
		t.Error("an earlier config lingers though the last one is gone")
	}
}
