package gateway

import (
	"context"
	"errors"
	"time"
)

// DisabledBy says who switched an environment off. The empty value is nobody: it is on.
type DisabledBy string

// Who can switch an environment off.
const (
	DisabledByConfig   DisabledBy = "config"
	DisabledByOperator DisabledBy = "operator"
)

// ErrDisabledByConfig is what [Environment.Disable] and [Environment.Enable] return
// where the config has switched the environment off: then the switch is the config's, and nothing is recorded.
var ErrDisabledByConfig = errors.New("the config has switched external authentication off here: change it there")

// switchedFor is how long a switch stays where it was put: no environment comes back by itself.
const switchedFor = 100 * 365 * 24 * time.Hour

// Enabled returns nil, or why nothing is granted here: the environment is switched
// off, or the store cannot tell whether it is.
func (e *Environment) Enabled() error {
	by, err := e.DisabledBy()
	if err != nil {
		return err
	}
	if by != "" {
		return &Refusal{Code: CodeExternalAuthDisabled, Err: errors.New("external authentication is switched off here")}
	}
	return nil
}

// DisabledBy says who switched the environment off, or "" where it is on. Where the
// store cannot tell, the error is a [CodeStoreUnavailable]. It asks memory alone.
func (e *Environment) DisabledBy() (DisabledBy, error) {
	if e.cfg.Disabled {
		return DisabledByConfig, nil
	}
	off, err := e.revokedAt(e.offMark)
	if err != nil || off.IsZero() {
		return "", err
	}
	on, err := e.revokedAt(e.onMark)
	if err != nil || on.After(off) {
		return "", err
	}
	return DisabledByOperator, nil
}

// Disable switches the environment off, for every instance that shares the store,
// through reloads and restarts, until [Environment.Enable]. Nothing is lost: what
// was valid is valid again afterwards, if it has not expired.
func (e *Environment) Disable(ctx context.Context) error {
	err := e.turn(ctx, e.offMark, e.onMark)
	e.observe(ctx, Event{Kind: EventDisable, Err: err})
	return err
}

// Enable switches the environment on again.
func (e *Environment) Enable(ctx context.Context) error {
	err := e.turn(ctx, e.onMark, e.offMark)
	e.observe(ctx, Event{Kind: EventEnable, Err: err})
	return err
}

// turn makes mark the later one of the two, whatever the clock says: it may have been
// ahead when the switch was turned last.
func (e *Environment) turn(ctx context.Context, mark, opposite string) error {
	if e.cfg.Disabled {
		return ErrDisabledByConfig
	}
	other, err := e.revokedAt(opposite)
	if err != nil {
		return err
	}
	at := e.cfg.Now()
	if !at.After(other) {
		at = other.Add(time.Nanosecond)
	}
	return seeThrough(ctx, func(ctx context.Context) error {
		return e.record(ctx, Revocation{Key: mark, At: at, Until: at.Add(switchedFor), ByOperator: true})
	})
}
