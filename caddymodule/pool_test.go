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
