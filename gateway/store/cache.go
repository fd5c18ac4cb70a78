package store

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// Cache is a [gateway.Cache] of bounded size.
//
// It is never a ledger. What is set becomes visible some time later or not at
// all: sets wait in a buffer and are dropped when that is full, the admission
// policy turns down what it thinks will not be asked for, and what was let in can
// be evicted at any moment. That nothing is found proves nothing. For a verified
// credential this costs one more verification; for a used-up jti it would be a replay.
type Cache struct {
	// mu guards entries, which is nil once the cache is closed. Ristretto panics
	// where it is used while it closes, and after a config reload the last requests
	// of the old config do just that.
	mu      sync.RWMutex
	entries *ristretto.Cache[uint64, *slot]
}

var _ gateway.Cache = (*Cache)(nil)

// A slot holds the whole key, since ristretto is told only 64 bits of it. Its own
// second hash would not do: a key type of 32 bytes is none that it takes without
// an allocation for each lookup.
type slot struct {
	key [32]byte
	r   *gateway.Remembered
}

const (
	// slotCost is what an entry takes besides what it stands for: the slot, its
	// places in ristretto's map of items, map of costs and index of expiries, as
	// measured after much has come and gone. What ristretto would add by itself
	// covers the first of the maps alone, so it is told to add nothing.
	slotCost = 384

	// maxAge bounds how long anything is remembered. The index of expiries keeps
	// an empty map for every five seconds in which something evicted would have
	// expired: this is how many of these there can be, whatever the tokens say.
	maxAge = time.Hour

	// bytesPerCounter is for how many bytes of capacity the admission policy keeps
	// one of its counters, of three bytes each. It wants ten for each entry, and an
	// entry (a token or two, and their claims) is seldom below a kilobyte.
	bytesPerCounter = 100
)

// NewCache returns a cache that holds entries of up to maxBytes in all, going by
// the cost that comes with each and what it takes to keep it. Buffers of 400 KiB
// and the counters of its policy, a twentieth of maxBytes or less, come on top.
// It runs goroutines until it is closed.
func NewCache(maxBytes int64) (*Cache, error) {
	if maxBytes <= 0 {
		return nil, fmt.Errorf("making a cache of %d bytes: want a positive size", maxBytes)
	}
	entries, err := ristretto.NewCache(&ristretto.Config[uint64, *slot]{
		NumCounters:        max(maxBytes/bytesPerCounter, 1024),
		MaxCost:            maxBytes,
		BufferItems:        64,
		IgnoreInternalCost: true,
		KeyToHash:          func(k uint64) (uint64, uint64) { return k, 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("making a cache of %d bytes: %w", maxBytes, err)
	}
	return &Cache{entries: entries}, nil
}

// Get implements [gateway.Cache]. It does not allocate.
func (c *Cache) Get(key [32]byte) (*gateway.Remembered, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, ok := c.entries.Get(shorten(key))
	if !ok || s.key != key {
		return nil, false
	}
	return s.r, true
}

// Set implements [gateway.Cache]. Nothing is remembered for longer than an hour.
func (c *Cache) Set(key [32]byte, r *gateway.Remembered, cost int64, until time.Time) {
	ttl := min(time.Until(until), maxAge)
	if ttl <= 0 || cost < 0 {
		return // to ristretto, a ttl of zero is for ever
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.entries.SetWithTTL(shorten(key), &slot{key, r}, cost+slotCost, ttl)
}

// Close forgets everything and ends the goroutines. A closed cache finds nothing
// and takes nothing. Closing twice does no harm.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries.Close() // nothing, where entries is nil
	c.entries = nil
	return nil
}

// shorten takes 64 bits of a SHA-256, which are as good as any.
func shorten(key [32]byte) uint64 { return binary.BigEndian.Uint64(key[:8]) }
