package verifier

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// RemoteConfig says where a JWK Set is and how it is kept fresh. Only URL is required,
// or Issuer and Discovery.
type RemoteConfig struct {
	// URL of the JWK Set: https, or http where the host is loopback.
	URL string

	// ShownURL stands for URL in errors and in [RemoteKeySet.URL], as it is: for where URL holds
	// a secret in its path. Empty: URL without query and credentials. It says nothing of a set
	// that is discovered.
	ShownURL string

	// Issuer is whose keys these are. It binds snapshots, and says where Discovery asks.
	Issuer string

	// Discovery has the issuer's own metadata name the set, in place of URL: that of OpenID
	// Connect Discovery 1.0, or, where the answer to that is a status of 4xx other than 408,
	// 425 and 429, that of RFC 8414. Issuer must then be a https URL, or http where the host
	// is loopback. The metadata must bear Issuer byte for byte. The set that it names may be
	// on another host, over https; over http on loopback only if Issuer is http as well. Each
	// fetch asks anew, so a set that moves is followed. The limits below are for each document,
	// and Timeout is for all of them together.
	Discovery bool

	// Client fetches. Its redirect policy is not used. Nil: a client of the set's
	// own, through the proxy that the process's environment names.
	Client *http.Client

	// MinRefresh (1m) and MaxRefresh (24h) bound the refresh interval that the
	// response's Cache-Control asks for; DefaultRefresh (15m) is used where it asks
	// for none. MaxRefresh counts as at most half of MaxStale, so 12h unless that is
	// longer: an issuer that fails when the refresh is due then leaves as much time
	// again for the fetch to succeed, whatever its Cache-Control says.
	MinRefresh, MaxRefresh, DefaultRefresh time.Duration

	// UnknownKey (10s) is the least time between two fetches that tokens cause by
	// naming keys which the set does not have.
	UnknownKey time.Duration

	// MaxStale (24h) is how long a set serves after it was fetched, if no fetch succeeds
	// since. A restart does not begin it anew. It cannot be less than twice MinRefresh.
	MaxStale time.Duration

	// Timeout (5s) bounds one fetch, and how long a caller waits for it.
	Timeout time.Duration

	MaxBytes int64 // of the response, decompressed; 1 MiB
	MaxKeys  int   // 100

	// InsecureHTTP allows http to any host: whoever is on the path then chooses the keys.
	InsecureHTTP bool

	// Snapshots keeps the last good set across restarts. May be nil.
	Snapshots SnapshotStore

	// Now is the clock by which the age of a set is told. Nil: [time.Now].
	Now func() time.Time

	// Refreshed is told of every attempt, and of snapshots that could not be loaded or
	// saved: how many usable keys the set has now, and what went wrong, if anything.
	// Calls do not overlap. It must not block, nor call Close. May be nil.
	Refreshed func(keys int, err error)
}

// retryFirst is the wait after a first failed fetch; it doubles up to MinRefresh.
const retryFirst = time.Second

func (c RemoteConfig) withDefaults() RemoteConfig {
	c.MinRefresh = orDefault(c.MinRefresh, time.Minute)
	c.DefaultRefresh = orDefault(c.DefaultRefresh, 15*time.Minute)
	c.UnknownKey = orDefault(c.UnknownKey, 10*time.Second)
	c.MaxStale = orDefault(c.MaxStale, 24*time.Hour)
	c.MaxRefresh = min(orDefault(c.MaxRefresh, 24*time.Hour), c.MaxStale/2)
	c.Timeout = orDefault(c.Timeout, 5*time.Second)
	c.MaxBytes = orDefault(c.MaxBytes, 1<<20)
	c.MaxKeys = orDefault(c.MaxKeys, 100)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Refreshed == nil {
		c.Refreshed = func(int, error) {}
	}
	return c
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// A RemoteKeySet is a JWK Set behind a URL, kept fresh in the background by a
// goroutine that [RemoteKeySet.Close] ends. All methods may be called concurrently.
//
// A token whose key is in the set never waits. One that names an unknown key causes
// a fetch, shared by all that wait, and is then looked at again. Fetches belong to
// the set: a caller who goes away cancels nothing. Where fetching fails, or yields
// no usable key, the last good set serves on until MaxStale.
type RemoteKeySet struct {
	cfg     RemoteConfig
	fetcher fetcher

	current  atomic.Pointer[fetched] // nil until there is a set
	restored *flight                 // ends when the snapshot was looked at, or is not needed any more
	wake     chan struct{}           // has room for one: a flight is queued

	ctx    context.Context // ended by Close; fetches run under it
	cancel context.CancelFunc
	done   chan struct{} // closed when Close may return

	unsaved   chan struct{} // has room for one: there is a set to save
	stored    chan struct{} // closed when nothing is loaded or saved any more
	reporting sync.Mutex    // held while Refreshed is called

	mu          sync.Mutex // guards all below
	running     *flight    // the fetch under way
	queued      *flight    // the one that was asked for and has not begun
	lastUnknown time.Time  // when an unknown key last caused a fetch
	next        time.Time  // when the goroutine will fetch by itself
	lastErr     error      // of the last attempt
}

// fetched is a set and the instant it was current at the issuer.
type fetched struct {
	keys *StaticKeySet
	at   time.Time
}

// A flight is something under way that any number of callers wait for: a fetch, or
// the loading of the snapshot.
type flight struct {
	done chan struct{} // closed when it has ended; err may be read then
	once sync.Once     // closes done
	err  error
}

func newFlight() *flight { return &flight{done: make(chan struct{})} }

func (f *flight) end() { f.once.Do(func() { close(f.done) }) }

func (f *flight) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// NewRemoteKeySet starts fetching and does not wait for it: callers of
// VerifySignature do. Errors are of the configuration.
func NewRemoteKeySet(cfg RemoteConfig) (*RemoteKeySet, error) {
	cfg = cfg.withDefaults()
	f, err := newFetcher(cfg)
	if err != nil {
		return nil, fmt.Errorf("configuring key set: %w", err)
	}
	s := &RemoteKeySet{
		cfg:      cfg,
		fetcher:  f,
		restored: newFlight(),
		wake:     make(chan struct{}, 1),
		unsaved:  make(chan struct{}, 1),
		stored:   make(chan struct{}),
		done:     make(chan struct{}),
		queued:   newFlight(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.keepFresh()
	return s, nil
}

// Close ends the goroutine and the fetch under way, and waits for both. The newest
// snapshot is saved first, unless the storage takes longer than Timeout; then its
// context ends, and it is not waited for. The set goes on serving what it has, until
// MaxStale.
func (s *RemoteKeySet) Close() {
	s.cancel()
	<-s.done
}

type noFetch struct{}

// WithoutFetch returns a context with which a [RemoteKeySet] judges by the keys at
// hand: an unknown key causes no fetch, and none is waited for. It is for whoever may
// ask about a token without being trusted to make the gateway do anything.
func WithoutFetch(ctx context.Context) context.Context {
	return context.WithValue(ctx, noFetch{}, true)
}

// VerifySignature implements [KeySet].
func (s *RemoteKeySet) VerifySignature(ctx context.Context, t *Token) (KeyID, error) {
	keys := s.usable()
	key, verdict := s.try(ctx, keys, t)
	if !mayBeNewKey(t, verdict) || ctx.Value(noFetch{}) != nil {
		return key, verdict
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	// What may bring the key: the snapshot; the fetch under way; and, as that one may
	// have been answered before the key was published, one more.
	for _, join := range []func() *flight{s.restoring, s.underWay, s.forUnknownKey} {
		if err := s.wait(ctx, join()); err != nil {
			return "", s.unavailable(err)
		}
		news := s.usable()
		if news == keys {
			continue
		}
		keys = news
		if key, verdict = s.try(ctx, keys, t); !mayBeNewKey(t, verdict) {
			return key, verdict
		}
	}
	if keys == nil {
		return "", s.unavailable(nil)
	}
	return key, verdict
}

func (s *RemoteKeySet) try(ctx context.Context, keys *StaticKeySet, t *Token) (KeyID, error) {
	if keys == nil {
		return "", s.unavailable(nil)
	}
	return keys.VerifySignature(ctx, t)
}

// mayBeNewKey reports whether a newer set could turn the verdict: there is none, or
// the token names a key that is not there, or names none and fits none of those that are.
func mayBeNewKey(t *Token, verdict error) bool {
	code := CodeOf(verdict)
	return code == CodeKeysUnavailable || code == CodeKeyNotFound || code == CodeSignatureInvalid && !t.hasKid
}

// Holds implements [KeySet].
func (s *RemoteKeySet) Holds(key KeyID) bool {
	keys := s.usable()
	return keys != nil && keys.Holds(key)
}

// usable returns the set, or nil if there is none or it is too old to serve.
func (s *RemoteKeySet) usable() *StaticKeySet {
	f := s.current.Load()
	if f == nil || s.cfg.Now().Sub(f.at) >= s.cfg.MaxStale {
		return nil
	}
	return f.keys
}

// wait returns an error if ctx or the set ends before the flight does. How the
// flight went shows in the set. There is nothing to wait for in no flight.
func (s *RemoteKeySet) wait(ctx context.Context, f *flight) error {
	if f == nil || f.ended() {
		return nil
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return errors.New("key set is closed")
	}
}

func (s *RemoteKeySet) unavailable(cause error) error {
	s.mu.Lock()
	wait := s.next.Sub(s.cfg.Now())
	s.mu.Unlock()
	err := errors.New("the issuer's keys are not available at the moment")
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return &Error{Code: CodeKeysUnavailable, Err: err, RetryAfter: max(wait, time.Second)}
}

func (s *RemoteKeySet) restoring() *flight { return s.restored }

// underWay returns the flight that has begun or is about to, if any.
func (s *RemoteKeySet) underWay() *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return s.running
	}
	return s.queued
}

// forUnknownKey queues a flight for a token whose key is not in the set, unless the
// last one of that kind was queued a moment ago. Where there is no set, no key is
// unknown: then the goroutine tries again at its own pace.
func (s *RemoteKeySet) forUnknownKey() *flight {
	if s.usable() == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if !s.lastUnknown.IsZero() && now.Sub(s.lastUnknown) < s.cfg.UnknownKey {
		return nil
	}
	s.lastUnknown = now
	return s.queue()
}

// queue returns a flight that has not begun. The caller holds mu.
func (s *RemoteKeySet) queue() *flight {
	if s.queued == nil {
		s.queued = newFlight()
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return s.queued
}

// Refresh fetches the set now and waits for the outcome.
func (s *RemoteKeySet) Refresh(ctx context.Context) error {
	s.mu.Lock()
	f := s.queue()
	s.mu.Unlock()
	if err := s.wait(ctx, f); err != nil {
		return fmt.Errorf("refreshing key set: %w", err)
	}
	return f.err
}

// Status tells how a [RemoteKeySet] or a [FileKeySet] is doing.
type Status struct {
	Keys    int           // usable keys; 0 if there is no set, or none young enough to serve
	Fetched time.Time     // when the set was last seen where it comes from; zero if there is none
	Age     time.Duration // since then
	Err     error         // of the last attempt; nil if it went well
	Next    time.Time     // when the next attempt is due
}

// Status returns the state of the set at this moment.
func (s *RemoteKeySet) Status() Status {
	var status Status
	if f := s.current.Load(); f != nil {
		status.Fetched, status.Age = f.at, max(0, s.cfg.Now().Sub(f.at)) // by a clock a little ahead
	}
	if keys := s.usable(); keys != nil {
		status.Keys = keys.Len()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	status.Err, status.Next = s.lastErr, s.next
	return status
}

// URL returns where the set is fetched from, or where it is discovered, the first place
// that is asked for it; without query and credentials, or as ShownURL of its config says.
func (s *RemoteKeySet) URL() string { return s.fetcher.shown(s.fetcher.source()) }

func plainURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
