package caddymodule

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"
	"testing"
	"time"
)

// An issuer that is down for a night is asked every minute: nobody finds anything in a log of that.
func TestFailureIsToldOnceAndThenNowAndThen(t *testing.T) {
	now := time.Unix(0, 0)
	f := &failing{now: func() time.Time { return now }}
	down, moved := errors.New("no answer"), errors.New("not found")
	for i, step := range []struct {
		after    time.Duration
		err      error // nil: it went well
		tell     bool
		keptBack int
		lasted   time.Duration
	}{
		{0, down, true, 0, 0},
		{time.Minute, down, false, 0, 0},
		{time.Minute, down, false, 0, 0},
		{3*time.Minute - 1, down, false, 0, 0},
		{1, down, true, 3, 0},
		{time.Minute, down, false, 0, 0},
		{time.Minute, moved, true, 1, 0},
		{time.Second, moved, false, 0, 0},
		{time.Second, nil, true, 0, 7*time.Minute + 2*time.Second},
		{time.Minute, nil, false, 0, 0},
		{time.Second, moved, true, 0, 0},
	} {
		now = now.Add(step.after)
		if step.err != nil {
			if tell, keptBack := f.failed(step.err); tell != step.tell || keptBack != step.keptBack {
				t.Errorf("step %d: told %t after %d that were kept back, want %t and %d", i, tell, keptBack, step.tell, step.keptBack)
			}
			continue
		}
		if lasted, was := f.recovered(); was != step.tell || lasted != step.lasted {
			t.Errorf("step %d: recovered %t after %s, want %t and %s", i, was, lasted, step.tell, step.lasted)
		}
	}
}

// Each connection comes from another port of this machine, and the error names it.
func TestFailuresThatDifferInOurPortAreOne(t *testing.T) {
	reset := func(from, to int, errno syscall.Errno) error {
		return fmt.Errorf("fetching keys: %w", &url.Error{Op: "Get", URL: "https://auth.example.com", Err: &net.OpError{
			Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: from}, Addr: &net.TCPAddr{Port: to}, Err: errno,
		}})
	}
	f := &failing{now: func() time.Time { return time.Unix(0, 0) }}
	for _, c := range []struct {
		name string
		err  error
		tell bool
	}{
		{"the first", reset(1001, 443, syscall.ECONNRESET), true},
		{"from another port", reset(1002, 443, syscall.ECONNRESET), false},
		{"to another port", reset(1002, 444, syscall.ECONNRESET), true},
		{"for another reason", reset(1002, 444, syscall.ECONNREFUSED), true},
	} {
		if tell, _ := f.failed(c.err); tell != c.tell {
			t.Errorf("%s: told %t, want %t", c.name, tell, c.tell)
		}
	}
}
