package verifier

import (
	"context"
	"time"
)

// A SnapshotStore keeps the last good set of a [RemoteKeySet], so that a restart
// while the issuer is down still verifies. One store holds one snapshot. It is
// trusted: whoever can write to it chooses the keys.
type SnapshotStore interface {
	// Load returns what was saved last, or the zero Snapshot or an error that
	// wraps [io/fs.ErrNotExist] if there is nothing.
	Load(ctx context.Context) (Snapshot, error)

	// Save replaces what was saved before.
	Save(ctx context.Context, s Snapshot) error
}

// A Snapshot is a set as it was at one time. It serves only a key set of the same
// issuer and URL, and no longer than MaxStale after Fetched.
type Snapshot struct {
	Issuer  string    `json:"issuer"`
	URL     string    `json:"url"`
	Fetched time.Time `json:"fetched"`
	Keys    []byte    `json:"keys"` // a JWK Set, public members only
}
