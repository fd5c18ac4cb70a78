package caddymodule

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/caddyserver/certmagic"
)

// nonceKeySize is the size of the key under which nonces are made (RFC 2104, section 3).
const nonceKeySize = 32

// nonceKeyOf is where the nonce key of an environment is kept.
func nonceKeyOf(storage certmagic.Storage, environmentID string) storedKeys {
	return storedKeys{storage: storage, key: path.Join(storageRoot, "nonces", environmentID+".key")}
}

// openNonceKey returns the key under which the nonces of an environment are made: a
// nonce that one instance gave out is good at every other on the same storage, and after
// a restart. Whoever has the key can make nonces, and nothing else.
//
// It is opened also where no endpoint needs it, so that a storage that cannot be read
// refuses the config, and not a sign-in later.
func openNonceKey(o Opening) ([]byte, error) {
	stored := nonceKeyOf(o.Storage, o.EnvironmentID)
	return Share(o, "nonce key "+hashed(storageName(o.Storage), stored.key), func() ([]byte, func() error, error) {
		ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
		defer cancel()
		key, err := stored.nonceKey(ctx)
		return key, nil, err
	})
}

// nonceKey reads the key, and makes it where there is none.
func (s storedKeys) nonceKey(ctx context.Context) ([]byte, error) {
	key, err := s.loadNonceKey(ctx)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	unlock, err := s.Lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("locking %s in Caddy's storage: %w", s.key, err)
	}
	defer unlock()
	key, err = s.loadNonceKey(ctx) // another instance may have made it in the meantime
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	return s.makeNonceKey(ctx)
}

func (s storedKeys) loadNonceKey(ctx context.Context) ([]byte, error) {
	key, err := s.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading %s in Caddy's storage: %w", s.key, err)
	}
	// Zeros are what some file systems leave of a file after a loss of power, and a key that anybody can guess.
	if len(key) != nonceKeySize || bytes.Count(key, []byte{0}) == nonceKeySize {
		return nil, fmt.Errorf("reading %s in Caddy's storage: it is damaged: delete it, and restart every instance on this storage, "+
			"so that they make a new one; no session ends by that, but apps have a few sign-ins refused, until they have used up the nonces that they keep", s.key)
	}
	return key, nil
}

// makeNonceKey needs the lock.
func (s storedKeys) makeNonceKey(ctx context.Context) ([]byte, error) {
	key := make([]byte, nonceKeySize)
	_, _ = rand.Read(key) // it never fails
	if err := s.Save(ctx, key); err != nil {
		return nil, fmt.Errorf("writing %s in Caddy's storage: %w", s.key, err)
	}
	return key, nil
}
