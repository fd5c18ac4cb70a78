package caddymodule

import (
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// ExchangerOpener is what a module of namespace `byoa.exchangers` implements.
//
// It is opened when the config starts or its first request comes, never while a
// config is merely validated; what is wrong with its own settings it says in Provision or Validate.
type ExchangerOpener interface {
	OpenExchanger(o Opening) (gateway.Exchanger, error)
}

// StoreOpener is what a module of namespace `byoa.stores` implements. The rules of [ExchangerOpener] hold.
type StoreOpener interface {
	OpenStore(o Opening) (gateway.Store, error)
}

// An Opening is what a guest module is opened with.
type Opening struct {
	Environment   string // its name
	EnvironmentID string
	MaxTokenBytes int
	TokenLifetime time.Duration // the longest that any token of the environment lives
	Storage       certmagic.Storage

	lease *lease
}

// Log is where things that outlive one config say what befalls them. It follows the running config's logs.
func (o Opening) Log() *zap.Logger {
	return logOf(o.Environment)
}

// Share opens something that survives config reloads: as long as configs overlap
// that ask for the same key, they get the same value, and it is closed when the last
// one is gone. The key must name everything that defines the value. What open
// returns must not depend on the config that happens to open it.
func Share[T any](o Opening, key string, open func() (value T, closer func() error, err error)) (T, error) {
	return borrow(o.lease, key, open)
}
