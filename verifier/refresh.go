package verifier

import (
	"context"
	"math/rand/v2"
	"time"
)

// keepFresh is the goroutine of a RemoteKeySet, and the only one that fetches. Beside
// it another loads and saves snapshots, so that a hanging storage delays nothing.
func (s *RemoteKeySet) keepFresh() {
	defer close(s.done)
	storage, giveUp := context.WithCancel(context.WithoutCancel(s.ctx))
	go s.store(storage)
	defer s.finishStoring(giveUp)
	failures := 0
	for s.ctx.Err() == nil {
		f := s.depart()
		interval, err := s.fetch()
		if err == nil {
			failures = 0
		} else {
			interval = s.retryIn(failures)
			failures++
		}
		s.land(f, interval, err)
		if err == nil {
			s.restored.end()
			s.haveSaved()
		}
		if err == nil || s.ctx.Err() == nil { // else it failed because the set was closed
			s.report(err)
		}
		s.sleep(interval)
	}
}

// fetch replaces the set, and returns how long the new one is fresh.
func (s *RemoteKeySet) fetch() (fresh time.Duration, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Timeout)
	defer cancel()
	keys, fresh, err := s.fetcher.fetch(ctx)
	if err != nil {
		return 0, err
	}
	s.current.Store(&fetched{keys, s.cfg.Now()})
	return fresh, nil
}

// report holds reporting, so that calls of Refreshed do not overlap.
func (s *RemoteKeySet) report(err error) {
	s.reporting.Lock()
	defer s.reporting.Unlock()
	s.cfg.Refreshed(s.Status().Keys, err)
}

// sleep ends early where a flight is queued, or the set closed.
func (s *RemoteKeySet) sleep(interval time.Duration) {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.wake:
	case <-s.ctx.Done():
	}
}

// depart turns the queued flight, or a new one, into the running one.
func (s *RemoteKeySet) depart() *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.queued = s.queued, nil
	if s.running == nil {
		s.running = newFlight()
	}
	// A signal for the flight that departs now would cause one more for nobody.
	select {
	case <-s.wake:
	default:
	}
	return s.running
}

// land ends the running flight. The set is in place by now, so that whoever waited finds it.
func (s *RemoteKeySet) land(f *flight, next time.Duration, err error) {
	s.mu.Lock()
	s.running, s.lastErr, s.next = nil, err, s.cfg.Now().Add(next)
	s.mu.Unlock()
	f.err = err
	f.end()
}

// retryIn returns the wait after one more failure: doubling, up to MinRefresh, and
// jittered so that a fleet does not come back as one.
func (s *RemoteKeySet) retryIn(failures int) time.Duration {
	wait := min(retryFirst<<min(failures, 20), s.cfg.MinRefresh)
	return wait/2 + rand.N(wait/2+1) //nolint:gosec // jitter is no secret
}
