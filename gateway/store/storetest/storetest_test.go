package storetest_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
	"github.com/caddy-byoa/caddy-byoa/gateway/store/storetest"
)

const faultVariable = "STORETEST_FAULT"

// A broken store has one fault and is a sound store otherwise.
type broken struct {
	*store.Memory
	use       func(ctx context.Context, key string, until time.Time) error
	revoke    func(ctx context.Context, r gateway.Revocation) error
	revokedAt func(key string) (time.Time, error)
	probe     func(ctx context.Context) error
	close     func() error
	owner     func(identity string) (string, error)
	user      func(ctx context.Context, id string) (gateway.User, error)
	visit     func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error)
	link      func(ctx context.Context, l gateway.Link) (gateway.User, error)
}

func (b *broken) Use(ctx context.Context, key string, until time.Time) error {
	return b.use(ctx, key, until)
}

func (b *broken) Revoke(ctx context.Context, r gateway.Revocation) error {
	return b.revoke(ctx, r)
}

func (b *broken) RevokedAt(key string) (time.Time, error) { return b.revokedAt(key) }

func (b *broken) Probe(ctx context.Context) error { return b.probe(ctx) }

func (b *broken) Close() error { return b.close() }

func (b *broken) Owner(identity string) (string, error) { return b.owner(identity) }

func (b *broken) User(ctx context.Context, id string) (gateway.User, error) { return b.user(ctx, id) }

func (b *broken) Visit(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
	return b.visit(ctx, by, at)
}

func (b *broken) Link(ctx context.Context, l gateway.Link) (gateway.User, error) {
	return b.link(ctx, l)
}

// A fault is what may be wrong with a store, and the tests that have to notice.
type fault struct {
	tests []string
	inner func(b *broken, m *store.Memory, o storetest.Options)
}

var faults = map[string]fault{
	"none": {nil, func(*broken, *store.Memory, storetest.Options) {}},
	"everybody wins": {
		[]string{"of_many_callers_one_wins", "until_has_passed", "keys_of_no_length", "a_context_that_ends", "a_context_that_is_done"},
		func(b *broken, _ *store.Memory, _ storetest.Options) {
			b.use = func(context.Context, string, time.Time) error { return nil }
		},
	},
	"looks and then writes": {
		[]string{"of_many_callers_one_wins"},
		func(b *broken, _ *store.Memory, _ storetest.Options) { b.use = lookThenWrite() },
	},
	"cuts keys at NUL": {
		[]string{"keys_that_resemble"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.use = func(ctx context.Context, key string, until time.Time) error {
				key, _, _ = strings.Cut(key+"\x00", "\x00")
				return m.Use(ctx, "k"+key, until)
			}
		},
	},
	"cuts long keys": {
		[]string{"keys_that_resemble", "keys_of_no_length"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.use = func(ctx context.Context, key string, until time.Time) error {
				return m.Use(ctx, key[:min(len(key), 500)], until)
			}
		},
	},
	"one kind": {
		[]string{"used_and_revoked_keys_are_apart"},
		func(b *broken, m *store.Memory, o storetest.Options) {
			b.use = func(ctx context.Context, key string, until time.Time) error {
				_ = m.Revoke(ctx, gateway.Revocation{Key: key, At: o.Now(), Until: until})
				return m.Use(ctx, key, until)
			}
		},
	},
	"forgets a moment early": {
		[]string{"a_key_stays_spent", "a_later_use_shortens"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.use = func(ctx context.Context, key string, until time.Time) error {
				return m.Use(ctx, key, until.Truncate(time.Second))
			}
		},
	},
	"starts over after a second": {
		[]string{"nothing_is_forgotten_early", "a_key_stays_spent"},
		func(b *broken, m *store.Memory, o storetest.Options) {
			born := o.Now()
			b.use = func(ctx context.Context, key string, until time.Time) error {
				if now := o.Now(); now.Sub(born) > time.Second {
					m, born = store.NewMemory(store.MemoryConfig{Capacity: o.Capacity, Users: o.Users, Now: o.Now}), now
				}
				return m.Use(ctx, key, until)
			}
		},
	},
	"keeps used keys for ever": {
		[]string{"a_key_stays_spent", "a_full_store", "expired_entries_leave"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.use = func(ctx context.Context, key string, until time.Time) error {
				return m.Use(ctx, key, until.AddDate(100, 0, 0))
			}
		},
	},
	"counts nanoseconds": {
		[]string{"until_is_far_away"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.use = func(ctx context.Context, key string, until time.Time) error {
				return m.Use(ctx, key, time.Unix(0, until.UnixNano()))
			}
		},
	},
	"forgets when full": {
		[]string{"a_full_store", "expired_entries_leave"},
		func(b *broken, m *store.Memory, o storetest.Options) {
			b.use = func(ctx context.Context, key string, until time.Time) error {
				err := m.Use(ctx, key, until)
				if errors.Is(err, gateway.ErrFull) {
					m = store.NewMemory(store.MemoryConfig{Capacity: o.Capacity, Users: o.Users, Now: o.Now})
					return m.Use(ctx, key, until)
				}
				return err
			}
		},
	},
	"gives up with nil": {
		[]string{"a_context_that_is_done"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.use = func(ctx context.Context, key string, until time.Time) error {
				if ctx.Err() != nil {
					return nil
				}
				return m.Use(ctx, key, until)
			}
		},
	},
	"the last revocation counts": {
		[]string{"the_latest_revocation", "the_latest_of_concurrent"},
		func(b *broken, _ *store.Memory, _ storetest.Options) {
			var all sync.Map
			b.revoke = func(_ context.Context, r gateway.Revocation) error { all.Store(r.Key, r.At); return nil }
			b.revokedAt = func(key string) (time.Time, error) {
				at, _ := all.Load(key)
				t, _ := at.(time.Time)
				return t, nil
			}
		},
	},
	"keeps revocations for ever": {
		[]string{"a_revocation_is_remembered_until"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.revoke = func(ctx context.Context, r gateway.Revocation) error {
				r.Until = r.Until.AddDate(100, 0, 0)
				return m.Revoke(ctx, r)
			}
		},
	},
	"forgets revocations early": {
		[]string{"a_revocation_is_remembered_until", "the_latest_revocation"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.revoke = func(ctx context.Context, r gateway.Revocation) error {
				r.Until = r.Until.Add(-time.Nanosecond)
				return m.Revoke(ctx, r)
			}
		},
	},
	"revokes later": {
		[]string{"a_revocation_is_seen_at_once", "everything_at_once"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.revoke = func(ctx context.Context, r gateway.Revocation) error {
				time.AfterFunc(time.Minute, func() { _ = m.Revoke(ctx, r) })
				return nil
			}
		},
	},
	"revokes at no time": {
		[]string{"a_revocation_without_a_time"},
		func(b *broken, m *store.Memory, o storetest.Options) {
			b.revoke = func(ctx context.Context, r gateway.Revocation) error {
				if r.At.IsZero() {
					r.At = o.Now()
				}
				return m.Revoke(ctx, r)
			}
		},
	},
	"keeps no room for an operator": {
		[]string{"an_operator_has_room"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.revoke = func(ctx context.Context, r gateway.Revocation) error {
				r.ByOperator = false
				return m.Revoke(ctx, r)
			}
		},
	},
	"takes everybody for an operator": {
		[]string{"an_operator_has_room"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.revoke = func(ctx context.Context, r gateway.Revocation) error {
				r.ByOperator = true
				return m.Revoke(ctx, r)
			}
		},
	},
	"has room for operators without end": {
		[]string{"an_operator_has_room"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.revoke = func(ctx context.Context, r gateway.Revocation) error {
				if err := m.Revoke(ctx, r); !r.ByOperator || !errors.Is(err, gateway.ErrFull) {
					return err
				}
				return nil
			}
		},
	},
	"prolongs nothing when full": {
		[]string{"an_operator_has_room"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.revoke = func(ctx context.Context, r gateway.Revocation) error {
				if err := m.Probe(ctx); errors.Is(err, gateway.ErrFull) && !r.ByOperator {
					return err
				}
				return m.Revoke(ctx, r)
			}
		},
	},
	"does not say that it is full": {
		[]string{"a_full_store", "expired_entries_leave", "an_operator_has_room", "a_probe_of_a_full_store"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			mute := func(err error) error {
				if errors.Is(err, gateway.ErrFull) {
					return errors.New("something went wrong")
				}
				return err
			}
			b.use = func(ctx context.Context, key string, until time.Time) error { return mute(m.Use(ctx, key, until)) }
			b.revoke = func(ctx context.Context, r gateway.Revocation) error { return mute(m.Revoke(ctx, r)) }
			b.probe = func(ctx context.Context) error { return mute(m.Probe(ctx)) }
		},
	},
	"is always well": {
		[]string{"a_probe_tells", "a_probe_of_a_full_store"},
		func(b *broken, _ *store.Memory, _ storetest.Options) {
			b.probe = func(context.Context) error { return nil }
		},
	},
	"probes and stays": {
		[]string{"a_probe_of_a_full_store"},
		func(b *broken, m *store.Memory, o storetest.Options) {
			b.probe = func(ctx context.Context) error {
				return m.Use(ctx, "probe "+o.Now().String(), o.Now().AddDate(1, 0, 0))
			}
		},
	},
	"never closed": {
		[]string{"a_closed_store_refuses", "a_closed_directory_refuses"},
		func(b *broken, _ *store.Memory, _ storetest.Options) { b.close = func() error { return nil } },
	},
	"survives nothing": {
		[]string{"what_was_used_stays_used", "what_was_revoked_stays_revoked", "closing_under_load", "users_and_links_stay"},
		func(*broken, *store.Memory, storetest.Options) {},
	},
}

func allFaults() map[string]fault {
	all := maps.Clone(faults)
	maps.Copy(all, directoryFaults)
	return all
}

func lookThenWrite() func(context.Context, string, time.Time) error {
	var used sync.Map
	return func(_ context.Context, key string, _ time.Time) error {
		if _, ok := used.Load(key); ok {
			return gateway.ErrUsed
		}
		runtime.Gosched()
		used.Store(key, true)
		return nil
	}
}

func subject(name string) storetest.Subject {
	return storetest.Subject{
		Open: func(_ *testing.T, o storetest.Options) (gateway.Store, error) {
			m := store.NewMemory(store.MemoryConfig{Capacity: o.Capacity, Users: o.Users, Now: o.Now})
			b := &broken{m, m.Use, m.Revoke, m.RevokedAt, m.Probe, m.Close, m.Owner, m.User, m.Visit, m.Link}
			allFaults()[name].inner(b, m, o)
			return b, nil
		},
		Bounded:  true,
		Survives: name == "survives nothing",
	}
}

// TestFaults runs the suite with stores that have a fault, each in a process of
// its own, and reads which tests have failed. Without it nobody could tell
// whether a test of the suite can fail at all.
func TestFaults(t *testing.T) {
	if name := os.Getenv(faultVariable); name != "" {
		storetest.Run(t, subject(name))
		return
	}
	for name, f := range allFaults() {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaults$")
			cmd.Env = append(os.Environ(), faultVariable+"="+name)
			out, err := cmd.CombinedOutput()
			if (err == nil) != (f.tests == nil) {
				t.Fatalf("running the suite: got %v, want an error: %v\n%s", err, f.tests != nil, out)
			}
			for _, test := range f.tests {
				if !strings.Contains(string(out), "--- FAIL: TestFaults/"+test) {
					t.Errorf("running the suite: %q has not failed:\n%s", test, out)
				}
			}
		})
	}
}
