package caddymodule

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

// openTimeout bounds what a guest does while it is opened, such as waiting for a lock of Caddy's storage.
const openTimeout = 30 * time.Second

// OpenExchanger makes the gateway itself the issuer, with keys in Caddy's storage.
func (x *LocalExchanger) OpenExchanger(o Opening) (gateway.Exchanger, error) {
	keys := keysOf(o.Storage, o.EnvironmentID)
	key := "keys " + hashed(storageName(o.Storage), keys.key, x.Algorithm, fmt.Sprint(x.Rotate), fmt.Sprint(o.TokenLifetime))
	ring, err := Share(o, key, func() (*exchange.KeyRing, func() error, error) {
		ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
		defer cancel()
		ring, err := exchange.OpenKeyRing(ctx, exchange.KeyRingConfig{
			Store:         keys,
			Algorithm:     x.Algorithm,
			Rotate:        time.Duration(x.Rotate),
			TokenLifetime: o.TokenLifetime,
			Rotated:       rotationLog(o.Environment),
		})
		return ring, closerOf(ring), err
	})
	if err != nil {
		return nil, err
	}
	return exchange.NewLocal(exchange.LocalConfig{
		Environment:   o.EnvironmentID,
		Issuer:        x.Issuer,
		Audience:      x.Audience,
		Ring:          ring,
		MaxTokenBytes: o.MaxTokenBytes,
	})
}

// rotationLog tells how rotating goes. The key ring outlives the config that opened it.
func rotationLog(environment string) func(kid string, err error) {
	keeping := new(failing)
	return func(kid string, err error) {
		if err == nil {
			logOf(environment).Info("published the next signing key, which takes over by itself: "+
				"do something only for verifiers that were given the keys by hand", zap.String("kid", kid))
			emit(eventKeyRotated, map[string]any{"environment": environment, "kid": kid})
			return
		}
		if tell, keptBack := keeping.failed(err); tell {
			logOf(environment).Error("the signing keys cannot be kept up, and the ones at hand go on signing: "+
				"see that Caddy's storage can be read and written, and that the clocks of all instances agree",
				zap.Int("same_before", keptBack), zap.Error(err))
		}
	}
}

// OpenStore opens the file, or shares it with the config that has it open.
func (f *FileStore) OpenStore(o Opening) (gateway.Store, error) {
	path := f.Path
	if path == "" {
		path = filepath.Join(caddy.AppDataDir(), storageRoot, "store.db")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return Share(o, "store file "+path, func() (*store.File, func() error, error) {
		opened, err := store.OpenFile(store.FileConfig{Path: path})
		if err != nil {
			return nil, nil, err
		}
		return opened, opened.Close, nil
	})
}

// OpenStore makes a store that lives as long as configs overlap that use one.
func (m *MemoryStore) OpenStore(o Opening) (gateway.Store, error) {
	return Share(o, "store memory", func() (*store.Memory, func() error, error) {
		opened := store.NewMemory(store.MemoryConfig{})
		return opened, opened.Close, nil
	})
}

// Interface guards
var (
	_ ExchangerOpener = (*LocalExchanger)(nil)
	_ StoreOpener     = (*FileStore)(nil)
	_ StoreOpener     = (*MemoryStore)(nil)
)
