package caddymodule

import (
	"errors"
	"net"
	"sync"
	"time"
)

// failureInterval is how often a failure is logged that goes on and stays the same.
const failureInterval = 5 * time.Minute

// failing keeps something that fails again and again from filling the log: a failure is
// told when it is the first, when it is another than the last, and else once in an interval.
type failing struct {
	now func() time.Time // nil: time.Now

	mu     sync.Mutex // guards all below
	what   string     // the failure that goes on; empty: none
	since  time.Time  // when the first one was, whatever it was
	told   time.Time
	untold int
}

// failed reports whether err is to be told, and how many like it were kept back before.
func (f *failing) failed(err error) (tell bool, keptBack int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, what := f.clock(), sameness(err)
	if f.what == "" {
		f.since = now
	}
	if what == f.what && now.Sub(f.told) < failureInterval {
		f.untold++
		return false, 0
	}
	keptBack = f.untold
	f.what, f.told, f.untold = what, now, 0
	return true, keptBack
}

// recovered ends the failure, and says how long it lasted, if there was one.
func (f *failing) recovered() (lasted time.Duration, was bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.what == "" {
		return 0, false
	}
	f.what, f.untold = "", 0
	return f.clock().Sub(f.since), true
}

func (f *failing) clock() time.Time {
	if f.now == nil {
		return time.Now()
	}
	return f.now()
}

// sameness is what two failures have in common that are one to the reader. The text of
// a connection's failure names the port on this side, which is another one each time.
func sameness(err error) string {
	var connection *net.OpError
	if !errors.As(err, &connection) {
		return "error: " + err.Error()
	}
	same := "connection: " + connection.Op
	if connection.Addr != nil {
		same += " " + connection.Addr.String()
	}
	if connection.Err != nil {
		same += ": " + connection.Err.Error()
	}
	return same
}
