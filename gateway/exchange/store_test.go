package exchange_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"sync"

	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
)

// memoryStore is a key store that several rings share, and that can be made to fail.
type memoryStore struct {
	lock chan struct{} // holds one value while it is locked

	mu              sync.Mutex // guards what follows
	content         []byte
	loads, saves    int
	failLoad        error
	failSave        error
	holdLoad        chan struct{} // if set, Load waits for it to be closed
	savedUnderALock bool
}

func newStore(content ...byte) *memoryStore {
	return &memoryStore{lock: make(chan struct{}, 1), content: content, savedUnderALock: true}
}

func (s *memoryStore) Load(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	s.loads++
	hold := s.holdLoad
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failLoad != nil:
		return nil, s.failLoad
	case s.content == nil:
		return nil, fmt.Errorf("loading: %w", fs.ErrNotExist)
	}
	return bytes.Clone(s.content), nil
}

func (s *memoryStore) Save(_ context.Context, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.savedUnderALock = s.savedUnderALock && len(s.lock) == 1
	if s.failSave != nil {
		return s.failSave
	}
	s.saves++
	s.content = bytes.Clone(b)
	return nil
}

func (s *memoryStore) Lock(ctx context.Context) (func(), error) {
	select {
	case s.lock <- struct{}{}:
		return func() { <-s.lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// set changes the store under its mutex.
func (s *memoryStore) set(change func(*memoryStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *memoryStore) stored() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.content)
}

func (s *memoryStore) counts() (loads, saves int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads, s.saves
}

var _ exchange.KeyStore = (*memoryStore)(nil)
