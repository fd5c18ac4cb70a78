package verifier

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// FileConfig says where a JWK Set lies. Only Path is required.
type FileConfig struct {
	Path string

	// Interval is how often the file is looked at. Zero: 10s.
	Interval time.Duration

	// Timeout is how long the file system may take over one look. A look that takes longer
	// has failed, and the next waits for it. Zero: 5s.
	Timeout time.Duration

	// Refreshed is told when the file was read anew, or could not be: how many
	// usable keys the set has now, and what went wrong, if anything. It is called
	// from the set's own goroutine, must not block, nor call Close. May be nil.
	Refreshed func(keys int, err error)
}

// A FileKeySet is a JWK Set in a file, read again when the file changes. A change
// to something unusable, or its removal, leaves the last good set in place, however
// long; so does a file system that hangs. All methods may be called concurrently.
type FileKeySet struct {
	cfg     FileConfig
	current atomic.Pointer[StaticKeySet]
	cancel  context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended

	// What was seen last; of the goroutine alone once that has started.
	file    fileReader
	content []byte
	verdict error  // on content
	failure string // as reported

	mu      sync.Mutex // guards all below
	fetched time.Time  // when the file last held the set
	lastErr error      // of the last look
	next    time.Time  // when the goroutine will look again
}

// NewFileKeySet reads the file, which must be a regular one, within Timeout, and watches it
// until [FileKeySet.Close].
func NewFileKeySet(cfg FileConfig) (*FileKeySet, error) { return newFileKeySet(cfg, readFile) }

func newFileKeySet(cfg FileConfig, read func(path string) ([]byte, error)) (*FileKeySet, error) {
	cfg.Interval = orDefault(cfg.Interval, 10*time.Second)
	cfg.Timeout = orDefault(cfg.Timeout, 5*time.Second)
	if cfg.Refreshed == nil {
		cfg.Refreshed = func(int, error) {}
	}
	s := &FileKeySet{
		cfg:  cfg,
		file: fileReader{read: read, path: cfg.Path, patience: cfg.Timeout},
		done: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	if _, err := s.read(ctx); err != nil {
		cancel()
		return nil, fmt.Errorf("reading key set %s: %w", cfg.Path, err)
	}
	s.note(nil)
	go s.watch(ctx)
	return s, nil
}

// Close ends the watching and waits for its end, but not for a file system that hangs. The
// set goes on serving what it has.
func (s *FileKeySet) Close() {
	s.cancel()
	<-s.done
}

// VerifySignature implements [KeySet].
func (s *FileKeySet) VerifySignature(ctx context.Context, t *Token) (KeyID, error) {
	return s.current.Load().VerifySignature(ctx, t)
}

// Holds implements [KeySet].
func (s *FileKeySet) Holds(key KeyID) bool { return s.current.Load().Holds(key) }

// Len returns how many usable keys the set has.
func (s *FileKeySet) Len() int { return s.current.Load().Len() }

// Status returns the state of the set at this moment. Its age is that of the last look at
// the file that found the set there; unlike that of a [RemoteKeySet], it ends nothing.
func (s *FileKeySet) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Status{Keys: s.Len(), Fetched: s.fetched, Age: time.Since(s.fetched), Err: s.lastErr, Next: s.next}
}

// note keeps for Status how the last look went.
func (s *FileKeySet) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.lastErr, s.next = err, now.Add(s.cfg.Interval)
	if err == nil {
		s.fetched = now
	}
}

// watch polls: file system notifications are lost over network mounts and bind mounts.
func (s *FileKeySet) watch(ctx context.Context) {
	defer close(s.done)
	ticker := time.NewTicker(s.cfg.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.look(ctx)
		}
	}
}

// look reads the file and reports what is new; a failure that lasts, once.
func (s *FileKeySet) look(ctx context.Context) {
	changed, err := s.read(ctx)
	if ctx.Err() != nil {
		return // it failed because the set was closed
	}
	failure := ""
	if err != nil {
		err = fmt.Errorf("reading key set %s: %w", s.cfg.Path, err)
		failure = err.Error()
	}
	s.note(err)
	if changed || failure != s.failure {
		s.cfg.Refreshed(s.Len(), err)
	}
	s.failure = failure
}

// read compares the content, not size and time of the file: these miss a change
// within one tick of the file system's clock, and one that a rename or the swap of
// a symbolic link brings. A set is small enough to be read.
func (s *FileKeySet) read(ctx context.Context) (changed bool, err error) {
	content, err := s.file.next(ctx)
	if err != nil {
		return false, err
	}
	if s.content != nil && bytes.Equal(content, s.content) {
		return false, s.verdict
	}
	s.content = content
	keys, err := ParseKeySet(content)
	if err == nil {
		s.current.Store(keys)
	}
	s.verdict = err
	return true, err
}
