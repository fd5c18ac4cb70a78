package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// testProbe is for stores that are a [gateway.Prober]: a probe says what a write
// would meet, and leaves nothing behind.
func testProbe(t *trial) {
	t.open(0)
	p, ok := t.Store.(gateway.Prober)
	if !ok {
		return
	}
	t.wantSpent("used", t.in(time.Hour))
	t.revoke("revoked", t.in(0), t.in(time.Hour))
	race(racers, func(int) {
		if err := p.Probe(t.Context()); err != nil {
			t.Errorf("probing a sound store: got %v, want nil", err)
		}
	})
	t.wantUsed("used")
	t.wantRevoked("revoked", t.in(0))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Probe(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("probing with a context that is done: got %v, want %v", err, context.Canceled)
	}
	if _, ok := t.Store.(io.Closer); ok {
		closeStore(t.T, t.Store)
		t.wantRefusal("probing a closed store", p.Probe(t.Context()))
	}
}

// testProbeFull: a store that has no room refuses whoever comes next, and nobody
// else is told before that.
func testProbeFull(t *trial) {
	const capacity = 5
	t.open(capacity)
	p, ok := t.Store.(gateway.Prober)
	if !ok {
		return
	}
	for i := range capacity {
		if err := p.Probe(t.Context()); err != nil {
			t.Errorf("probing a store with room: got %v, want nil", err)
		}
		t.wantSpent(fmt.Sprint("key-", i), t.in(time.Minute))
	}
	t.wantFull("probing a full store", p.Probe(t.Context()))
	t.advance(time.Minute)
	if err := p.Probe(t.Context()); err != nil {
		t.Errorf("probing a store whose entries have expired: got %v, want nil", err)
	}
	for i := range capacity {
		t.wantSpent(fmt.Sprint("new-", i), t.in(time.Minute)) // the probes took no room
	}
}
