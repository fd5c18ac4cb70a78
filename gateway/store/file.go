package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// FileConfig configures a [File].
type FileConfig struct {
	// Path of the file. It is created if there is none, and its directory as well.
	// It belongs on a local disk: on a network share, neither a lock nor an fsync
	// can be relied on.
	Path string

	// Capacity is how many used-up keys are held, and apart from these how many
	// revocations, so that neither can crowd out the other. 0: [DefaultCapacity].
	// A tenth as many revocations come on top that only an operator may make: users,
	// who can start and end sessions without end, never use up the room that an operator
	// needs to end somebody's sessions, or to switch an environment off.
	//
	// An entry takes about 200 bytes of the file and twice its key. The file does
	// not shrink: what expired entries leave behind is used for new ones.
	// A revocation takes about 200 bytes of memory and its key as well. It is kept for
	// a day after its time, unless a new one needs the room.
	Capacity int

	// Users is how many users are held and how many identities that were linked to them,
	// together and apart from Capacity. 0: [DefaultCapacity]. Without room, users who have
	// not signed in for 400 days make way, unless they have linked identities; then new
	// users stay unknown, and no more identities are linked.
	//
	// Each takes about 800 bytes of the file where issuer, subject and ID have some 100
	// together. A linked identity takes about 200 bytes of memory as well. Opening the file
	// reads them all, which takes some four seconds for a million, and holds what users
	// have linked once more while it lasts.
	Users int

	// Now is the clock. nil: time.Now.
	Now func() time.Time
}

// File is a [gateway.Store] in one file, for the one process that has it open.
// What Use, Revoke, Visit and Link have returned nil for is on the disk: it outlives
// kill -9 and power loss, as far as the disk tells the truth about fsync.
//
// Expired entries are deleted a few at a time as new ones are written.
type File struct {
	path     string
	capacity int
	users    int // and links, for how many of both there is room
	now      func() time.Time
	db       *bolt.DB
	revoked  *revocations // the file's revocations once more, to answer at once
	links    *links       // the file's links, likewise

	changes   chan *change  // to the writer
	closing   chan struct{} // closed by Close: the writer ends
	closed    chan struct{} // closed by the writer as it ends
	closeOnce sync.Once
	closeErr  error

	broken    chan struct{} // closed when the database has panicked: nothing is written or read any more
	breakOnce sync.Once
	damage    error // why; set before broken is closed
}

var _ gateway.Store = (*File)(nil)

// OpenFile opens the store at cfg.Path, or makes an empty one where there is no
// file. It never puts an empty store in the place of a file that it cannot read:
// that would make everything that was used up good for another use. Before it takes a
// file, it reads all of it: that no page is missing or has got into the place of another,
// and that every entry is what was written, which checksums elsewhere in the file say.
//
// If another process has the file open, OpenFile gives up after a second.
func OpenFile(cfg FileConfig) (*File, error) {
	if cfg.Path == "" {
		return nil, errors.New("opening store: no path given")
	}
	f, err := openFile(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening store %q: %w", cfg.Path, forbidden(err))
	}
	go f.write()
	return f, nil
}

func openFile(cfg FileConfig) (*File, error) {
	if err := ensureFile(cfg.Path); err != nil {
		return nil, err
	}
	db, err := openDatabase(cfg.Path)
	if err != nil {
		return nil, err
	}
	now := clockOr(cfg.Now)
	f := &File{
		path:     cfg.Path,
		capacity: capacityOr(cfg.Capacity),
		users:    capacityOr(cfg.Users),
		now:      now,
		db:       db,
		revoked:  newMirror(now),
		links:    newLinks(),
		changes:  make(chan *change),
		closing:  make(chan struct{}),
		closed:   make(chan struct{}),
		broken:   make(chan struct{}),
	}
	if err := f.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return f, nil
}

// ensureFile makes an empty store where there is nothing at path.
func ensureFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return createFile(path)
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a directory: give the path of a file in it")
	case !info.Mode().IsRegular():
		return fmt.Errorf("it is no regular file (%v): give another path", info.Mode().Type())
	}
	return nil
}

// createFile makes the store under another name first, so that a file at path is
// always whole: one that is empty or cut short was not left by a start that was
// interrupted, and is refused. Of two processes that do this at once, one links.
func createFile(path string) error {
	dir := filepath.Dir(path)
	if err := makeDirectory(dir); err != nil {
		return fmt.Errorf("creating its directory: %w", err)
	}
	draft, err := os.MkdirTemp(dir, ".new-store-*")
	if err != nil {
		return fmt.Errorf("creating it: %w", err)
	}
	defer func() { _ = os.RemoveAll(draft) }()
	whole := filepath.Join(draft, "store")
	if err := createDatabase(whole); err != nil {
		return fmt.Errorf("creating it: %w", err)
	}
	if err := os.Link(whole, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("creating it: %w", err)
	}
	return syncDirectory(dir)
}

func makeDirectory(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDirectory(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDirectory(parent)
}

// Use implements [gateway.Store]. With a context that is done from the start it
// spends nothing. Where the context ends while Use waits, its error is returned at
// once, and the key may have been spent or not.
func (f *File) Use(ctx context.Context, key string, until time.Time) error {
	if err := checkKey(key); err != nil {
		return err
	}
	end := instantOf(until)
	return f.do(ctx, &change{apply: func(t *transaction) (refusal, err error) {
		return t.use(key, end)
	}})
}

// Revoke implements [gateway.Store]. It treats its context as [File.Use] does.
func (f *File) Revoke(ctx context.Context, r gateway.Revocation) error {
	rev, err := revocationOf(r)
	if err != nil {
		return err
	}
	room := revocationRoom(f.capacity, r.ByOperator)
	return f.do(ctx, &change{
		apply: func(t *transaction) (refusal, err error) { return t.revoke(r.Key, rev, room) },
		after: func() error { return f.revoked.add(r.Key, rev, room) },
	})
}

// RevokedAt implements [gateway.Store].
func (f *File) RevokedAt(key string) (time.Time, error) {
	if f.isClosed() {
		return time.Time{}, errClosed
	}
	return f.revoked.at(key)
}

func (f *File) isClosed() bool {
	select {
	case <-f.closing:
		return true
	default:
		return false
	}
}

// Close ends the store and lets go of the file: from now on every other method
// returns an error. Changes that are being written are written still. Closing
// twice does no harm.
func (f *File) Close() error {
	f.closeOnce.Do(func() {
		close(f.closing)
		select {
		case <-f.closed:
		case <-f.broken:
		}
		if f.isBroken() {
			// The database panicked and may hold its own locks for ever. What it
			// holds of the system is released when the process ends.
			return
		}
		if err := f.db.Close(); err != nil {
			f.closeErr = fmt.Errorf("closing store %q: %w", f.path, err)
		}
	})
	return f.closeErr
}
