package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"path"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// storageRoot is the folder in Caddy's storage that is ours.
const storageRoot = "byoa"

// storedKeys is where keys of one environment are kept: in Caddy's storage, so that all
// instances on one storage share them. It is an exchange.KeyStore.
type storedKeys struct {
	storage certmagic.Storage
	key     string
}

func keysOf(storage certmagic.Storage, environmentID string) storedKeys {
	return storedKeys{storage: storage, key: path.Join(storageRoot, "keys", environmentID+".json")}
}

// Load returns fs.ErrNotExist where no keys have been made yet.
func (s storedKeys) Load(ctx context.Context) ([]byte, error) {
	return s.storage.Load(ctx, s.key)
}

// Save replaces what is there.
func (s storedKeys) Save(ctx context.Context, b []byte) error {
	return s.storage.Store(ctx, s.key, b)
}

// Lock keeps every other instance on the same storage out until unlock is called.
func (s storedKeys) Lock(ctx context.Context) (unlock func(), err error) {
	if err := s.storage.Lock(ctx, s.key); err != nil {
		return nil, err
	}
	return func() {
		// A lock that cannot be released expires by itself; nobody waits for it longer than that.
		_ = s.storage.Unlock(context.WithoutCancel(ctx), s.key)
	}, nil
}

// storedSnapshot is where the last good key set of one issuer is kept, so that a
// restart while the issuer is down still verifies. It is a [verifier.SnapshotStore].
type storedSnapshot struct {
	storage certmagic.Storage
	key     string
}

func snapshotOf(storage certmagic.Storage, name string) storedSnapshot {
	return storedSnapshot{storage: storage, key: path.Join(storageRoot, "jwks", name+".json")}
}

// Load returns fs.ErrNotExist where none was kept.
func (s storedSnapshot) Load(ctx context.Context) (verifier.Snapshot, error) {
	var snapshot verifier.Snapshot
	b, err := s.storage.Load(ctx, s.key)
	if err != nil {
		return snapshot, err
	}
	if err := json.Unmarshal(b, &snapshot); err != nil {
		return snapshot, fmt.Errorf("reading the kept key set %s: %w", s.key, err)
	}
	return snapshot, nil
}

// Save replaces what is there.
func (s storedSnapshot) Save(ctx context.Context, snapshot verifier.Snapshot) error {
	b, err := json.Marshal(snapshot)
	if err != nil {
		return err
	}
	return s.storage.Store(ctx, s.key, b)
}

// storageName tells storages apart that are not the same place.
func storageName(storage certmagic.Storage) string {
	if named, ok := storage.(fmt.Stringer); ok {
		return fmt.Sprintf("%T %s", storage, named)
	}
	return fmt.Sprintf("%T %p", storage, storage)
}
