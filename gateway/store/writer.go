package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
)

// A change is one thing to be written to the file, and somebody who waits for it.
type change struct {
	ctx context.Context

	// apply writes to the transaction. A refusal is the answer for this caller and
	// has written nothing; an err spoils the whole transaction.
	apply func(*transaction) (refusal, err error)

	// after, if there is one, runs when what was applied has reached the disk.
	after func() error

	refusal error
	answer  chan error
}

// maxTogether is how many changes are committed together at most. It bounds how
// long the first of them waits, and how much of the file a commit may write.
const maxTogether = 256

// errNothingToWrite rolls back a transaction in which every change was refused.
var errNothingToWrite = errors.New("nothing to write")

// do has the writer apply c, and waits until the disk has it.
func (f *File) do(ctx context.Context, c *change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.ctx, c.answer = ctx, make(chan error, 1)
	select {
	case f.changes <- c:
	case <-f.closing:
		return errClosed
	case <-f.broken:
		return f.failed("writing", f.damage)
	case <-ctx.Done():
		return fmt.Errorf("waiting to write store %q: %w", f.path, ctx.Err())
	}
	select {
	case err := <-c.answer:
		return err
	case <-f.broken:
		return f.failed("writing", f.damage)
	case <-ctx.Done():
		return fmt.Errorf("waiting for store %q to be written: %w", f.path, ctx.Err())
	}
}

// write is the one goroutine that writes the file. A commit costs two fsyncs, and
// whoever comes in the meantime is in the next one together. So a caller on its
// own waits for the disk and for nothing else, and many share what one would pay;
// bbolt's Batch does the second by making every caller wait for company first. It
// also repeats a batch for each refusal in it, cannot give up on a caller who has
// gone, and ends the process where the database panics.
func (f *File) write() {
	defer close(f.closed)
	// Pages of a damaged file or a broken disk fault when they are read. That must
	// cost the store, and not a server with other things to do.
	debug.SetPanicOnFault(true)
	for {
		select {
		case <-f.closing:
			return
		case c := <-f.changes:
			f.commit(f.gather(c))
		}
	}
}

// gather takes what waits already, and waits for nothing.
func (f *File) gather(first *change) []*change {
	together := []*change{first}
	for len(together) < maxTogether {
		select {
		case c := <-f.changes:
			together = append(together, c)
		default:
			return together
		}
	}
	return together
}

func (f *File) commit(together []*change) {
	err := f.update(together)
	outcomes := make([]error, len(together))
	for i, c := range together {
		outcomes[i] = f.outcome(c, err)
	}
	// Whoever has an answer finds everything that was committed together: what they do
	// next must not look as if it came before.
	for i, c := range together {
		c.answer <- outcomes[i]
	}
}

func (f *File) outcome(c *change, err error) error {
	switch {
	case err != nil:
		return f.failed("writing", err)
	case c.refusal != nil:
		return c.refusal
	case c.after != nil:
		return c.after()
	}
	return nil
}

// update applies all changes in one transaction. If it fails, nobody can tell
// whether they are on the disk, and nobody is told that they are.
func (f *File) update(together []*change) (err error) {
	if f.isBroken() {
		return f.damage
	}
	defer func() {
		if p := recover(); p != nil {
			err = f.breakDown(p)
		}
	}()
	err = f.db.Update(func(tx *bolt.Tx) error {
		t, err := f.begin(tx)
		if err != nil {
			return err
		}
		return t.applyAll(together)
	})
	if errors.Is(err, errNothingToWrite) {
		return nil
	}
	return err
}
