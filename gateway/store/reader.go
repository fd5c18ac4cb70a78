package store

import (
	"context"
	"fmt"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
)

// read has look see the file as the last commit left it. Whoever reads waits for no
// commit, and where the disk does not answer for no longer than ctx: look may go on
// after that, and its results are to be taken only if read has returned nil.
func (f *File) read(ctx context.Context, look func(*bolt.Tx) error) error {
	switch {
	case f.isClosed():
		return errClosed
	case f.isBroken():
		return f.failed("reading", f.damage)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	seen := make(chan error, 1)
	go func() { seen <- f.view(look) }()
	select {
	case err := <-seen:
		return f.failed("reading", err)
	case <-f.broken:
		return f.failed("reading", f.damage)
	case <-ctx.Done():
		return fmt.Errorf("waiting for store %q to be read: %w", f.path, ctx.Err())
	}
}

func (f *File) view(look func(*bolt.Tx) error) (err error) {
	debug.SetPanicOnFault(true) // of a goroutine that ends with this
	defer func() {
		if p := recover(); p != nil {
			err = f.breakDown(p)
		}
	}()
	return f.db.View(look)
}

// breakDown ends all writing and reading, because the database has panicked. It may hold
// its own locks for ever, so that nobody may wait for it any more.
func (f *File) breakDown(p any) error {
	f.breakOnce.Do(func() {
		f.damage = panicked(p)
		close(f.broken)
	})
	return f.damage
}

func (f *File) isBroken() bool {
	select {
	case <-f.broken:
		return true
	default:
		return false
	}
}

func panicked(p any) error { return damaged("the database panicked: %v", p) }

// failed says which store an error is of.
func (f *File) failed(doing string, err error) error {
	if err != nil {
		return fmt.Errorf("%s store %q: %w", doing, f.path, err)
	}
	return nil
}
