package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// seeThrough has something written to the store, which a caller who goes away does not
// interrupt once it has begun: a store may be done with it by then, and what was done is
// what has to be told. Where the caller is gone already, nothing is begun.
//
// How long anybody waits for the store is bounded all the same: by the deadline of ctx,
// and by flightTimeout. Of what takes longer than that nobody can tell whether it was done.
func seeThrough(ctx context.Context, write func(context.Context) error) error {
	if err := givenUp(ctx); err != nil {
		return err
	}
	until := time.Now().Add(flightTimeout)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(until) {
		until = deadline
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	defer cancel()
	return write(ctx)
}

// givenUp returns nil, or that the caller has gone away. That is no verdict, and no
// outage of anything. A deadline that has passed is something else: somebody was too slow.
func givenUp(ctx context.Context) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return fmt.Errorf("asking the store: %w", err)
	}
	return nil
}
