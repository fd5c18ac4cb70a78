package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

func eachStore(b *testing.B, run func(b *testing.B, s gateway.Store)) {
	const room = 1 << 30
	b.Run("memory", func(b *testing.B) { run(b, store.NewMemory(store.MemoryConfig{Capacity: room})) })
	b.Run("file", func(b *testing.B) {
		f, err := store.OpenFile(store.FileConfig{Path: filepath.Join(b.TempDir(), "store"), Capacity: room})
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		run(b, f)
	})
}

func BenchmarkUse(b *testing.B) {
	eachStore(b, func(b *testing.B, s gateway.Store) {
		var next atomic.Int64
		until := time.Now().Add(time.Hour)
		use := func() {
			if err := s.Use(context.Background(), fmt.Sprintf("environment assertion %x", hash(int(next.Add(1)))), until); err != nil {
				b.Error(err)
			}
		}
		b.Run("1 caller", func(b *testing.B) {
			for b.Loop() {
				use()
			}
		})
		b.Run("64 callers", func(b *testing.B) {
			b.SetParallelism(32) // for each of two processors
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					use()
				}
			})
		})
	})
}

func BenchmarkRevokedAt(b *testing.B) {
	eachStore(b, func(b *testing.B, s gateway.Store) {
		key := func(i int) string { return fmt.Sprintf("environment session %x", hash(i)) }
		for i := range 1000 {
			if err := s.Revoke(b.Context(), gateway.Revocation{Key: key(i), At: time.Now(), Until: time.Now().Add(time.Hour)}); err != nil {
				b.Fatal(err)
			}
		}
		for name, k := range map[string]string{"revoked": key(0), "not revoked": key(-1)} {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, _ = s.RevokedAt(k)
				}
			})
		}
	})
}

func BenchmarkOwner(b *testing.B) {
	eachStore(b, func(b *testing.B, s gateway.Store) {
		user := func(i int) gateway.Identity { return gateway.Identity{ID: fmt.Sprintf("%x", hash(i))} }
		for i := range 100 {
			if _, err := s.Link(b.Context(), gateway.Link{UserID: user(i).ID, By: user(i), Joins: user(-i - 1), At: time.Now()}); err != nil {
				b.Fatal(err)
			}
		}
		for name, id := range map[string]string{"linked": user(-1).ID, "not linked": user(0).ID} {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, _ = s.Owner(id)
				}
			})
		}
	})
}

func BenchmarkVisit(b *testing.B) {
	eachStore(b, func(b *testing.B, s gateway.Store) {
		var next atomic.Int64
		visit := func(i int64) {
			if _, err := s.Visit(context.Background(), gateway.Identity{ID: fmt.Sprintf("%x", hash(int(i)))}, time.Now()); err != nil {
				b.Error(err)
			}
		}
		b.Run("known user", func(b *testing.B) {
			for b.Loop() {
				visit(-1)
			}
		})
		b.Run("64 new users", func(b *testing.B) {
			b.SetParallelism(32) // for each of two processors
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					visit(next.Add(1))
				}
			})
		})
	})
}

func BenchmarkCacheGet(b *testing.B) {
	c := mustCache(b, 64<<20)
	for i := range 10_000 {
		c.Set(hash(i), new(gateway.Remembered), 1000, time.Now().Add(time.Hour))
	}
	c.Wait()
	key := hash(0)
	b.ReportAllocs()
	for b.Loop() {
		c.Get(key)
	}
}
