package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

var (
	_ gateway.Prober = (*File)(nil)
	_ gateway.Prober = (*Memory)(nil)
)

// What a probe writes takes more pages of the file than a use or a revocation.
var (
	probeName  = []byte("probe")
	probeValue = make([]byte, 64<<10)
)

// Probe implements [gateway.Prober]. It finds out by doing: it writes 64 KiB into the
// file, in the place of what the last probe wrote, and commits that to the disk with
// whatever else is being written. So a disk that is full shows once the file has no room
// left in itself. It treats its context as [File.Use] does.
//
// A directory without room for more users is nothing that it tells: whoever is in there
// signs in as before, and whoever is not signs in and stays unknown.
func (f *File) Probe(ctx context.Context) error {
	return f.do(ctx, &change{apply: (*transaction).probe})
}

func (t *transaction) probe() (refusal, err error) {
	for _, l := range []*ledger{t.spent, t.revoked} {
		if _, ok := l.fits(t.now, t.capacity); !ok {
			return probed(full(l.count())), nil
		}
	}
	return nil, t.meta.Put(probeName, probeValue)
}

// Probe implements [gateway.Prober]. Like [File.Probe] it does not tell that the directory is full.
func (m *Memory) Probe(ctx context.Context) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	return probed(errors.Join(m.roomToSpend(), m.revoked.roomToRevoke(m.capacity)))
}

func (m *Memory) roomToSpend() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spent.sweep(instantOf(m.now()), sweepPerWrite)
	return m.spent.fits(m.capacity)
}

// roomToRevoke is for users: an operator may have room where they have none.
func (r *revocations) roomToRevoke(room int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.makeRoom(instantOf(r.now()), room)
	return r.table.fits(room)
}

func probed(err error) error {
	if err != nil {
		return fmt.Errorf("probing: %w", err)
	}
	return nil
}
