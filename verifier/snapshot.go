package verifier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// ErrSnapshot is in the tree of what Refreshed of a [RemoteConfig] is told about the
// storage of snapshots alone: the keys themselves may be as fresh as ever.
var ErrSnapshot = errors.New("key snapshot")

// A SnapshotStore keeps the last good set of a [RemoteKeySet], so that a restart
// while the issuer is down still verifies. One store holds one snapshot. It is
// trusted: whoever can write to it chooses the keys. A key set calls one method at a
// time, and the next only when that has returned, so both should heed ctx: as long as
// a call hangs, nothing is saved.
type SnapshotStore interface {
	// Load returns what was saved last, or the zero Snapshot or an error that
	// wraps [io/fs.ErrNotExist] if there is nothing.
	Load(ctx context.Context) (Snapshot, error)

	// Save replaces what was saved before.
	Save(ctx context.Context, s Snapshot) error
}

// A Snapshot is a set as it was at one time. It serves only a key set of the same
// issuer and URL, and no longer than MaxStale after Fetched, which may lie five minutes
// ahead of this machine's clock.
type Snapshot struct {
	Issuer  string    `json:"issuer"`
	Source  []byte    `json:"source"` // the SHA-256 sum of the URL, which may hold a secret, of the set or of its metadata
	Fetched time.Time `json:"fetched"`
	Keys    []byte    `json:"keys"` // a JWK Set, public members only
}

// maxAhead is how far the clock of the machine that saved a snapshot may be ahead of this one.
const maxAhead = 5 * time.Minute

// store is the goroutine that keeps the snapshot: one, and one call at a time, so that
// a storage that hangs holds up this goroutine alone. It outlives s.ctx, as a set that
// was fetched just before the end may be what the next start needs; ctx ends when
// nobody waits for the storage any more.
func (s *RemoteKeySet) store(ctx context.Context) {
	defer close(s.stored)
	defer s.restored.end()
	if s.cfg.Snapshots == nil {
		return
	}
	report := func(err error) {
		if err != nil && ctx.Err() == nil {
			s.report(err)
		}
	}
	report(s.restore())
	for range s.unsaved {
		if ctx.Err() != nil {
			return // by now the storage may hold what a newer key set saved
		}
		report(s.save(ctx))
	}
}

// haveSaved asks for the current set to be saved. Sets that come while one is being
// saved share the next turn, in which the newest is.
func (s *RemoteKeySet) haveSaved() {
	select {
	case s.unsaved <- struct{}{}:
	default:
	}
}

// finishStoring lets the storage finish, but not hold up Close for longer than Timeout.
func (s *RemoteKeySet) finishStoring(giveUp context.CancelFunc) {
	defer giveUp()
	close(s.unsaved)
	timer := time.NewTimer(s.cfg.Timeout)
	defer timer.Stop()
	select {
	case <-s.stored:
	case <-timer.C:
		giveUp()
		s.report(fmt.Errorf("saving %w: the storage did not answer within %s of the end", ErrSnapshot, s.cfg.Timeout))
	}
}

// restore serves the snapshot until the first fetch succeeds.
func (s *RemoteKeySet) restore() error {
	defer s.restored.end()
	old, err := s.load()
	if err != nil {
		return fmt.Errorf("loading %w: %w", ErrSnapshot, err)
	}
	s.current.CompareAndSwap(nil, old)
	return nil
}

// load returns nil where there is no snapshot of this issuer and URL.
func (s *RemoteKeySet) load() (*fetched, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Timeout)
	defer cancel()
	snapshot, err := s.cfg.Snapshots.Load(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if snapshot.Issuer != s.cfg.Issuer || !bytes.Equal(snapshot.Source, s.fetcher.sum()) {
		return nil, nil
	}
	keys, err := parseKeySet(snapshot.Keys, s.cfg.MaxKeys)
	if err != nil {
		return nil, err
	}
	// Taken for one of now, it would begin its life anew at each restart.
	if ahead := snapshot.Fetched.Sub(s.cfg.Now()); ahead > maxAhead {
		return nil, fmt.Errorf("it was fetched at %s, which is still to come: see that this machine's clock is right", snapshot.Fetched.UTC().Format(time.RFC3339))
	}
	return &fetched{keys, snapshot.Fetched}, nil
}

// sum is that of the URL which says where the keys come from.
func (f fetcher) sum() []byte {
	sum := sha256.Sum256([]byte(f.source().String()))
	return sum[:]
}

// save keeps the newest set.
func (s *RemoteKeySet) save(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	f := s.current.Load()
	keys, err := f.keys.MarshalJSON()
	if err == nil {
		err = s.cfg.Snapshots.Save(ctx, Snapshot{Issuer: s.cfg.Issuer, Source: s.fetcher.sum(), Fetched: f.at, Keys: keys})
	}
	if err != nil {
		return fmt.Errorf("saving %w: %w", ErrSnapshot, err)
	}
	return nil
}
