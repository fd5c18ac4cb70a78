package storetest_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
	"github.com/caddy-byoa/caddy-byoa/gateway/store/storetest"
)

// directoryFaults are faults of the part of a store that knows the users.
var directoryFaults = map[string]fault{
	"forgets a link": {
		[]string{"an_identity_joins_a_user", "of_many_users_one", "a_user_has_so_many"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				u, err := m.Visit(ctx, l.By, l.At)
				u.Identities = append(u.Identities, l.Joins)
				return u, err
			}
		},
	},
	"has an owner without links": {
		[]string{"an_identity_joins_a_user", "an_identity_of_somebody_else", "users_with_linked"},
		func(b *broken, _ *store.Memory, _ storetest.Options) {
			b.owner = func(identity string) (string, error) { return identity, nil }
		},
	},
	"two users win": {
		[]string{"of_many_users_one", "an_identity_of_somebody_else", "an_identity_is_a_user_or_linked"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				u, err := m.Link(ctx, l)
				if errors.Is(err, gateway.ErrIdentityTaken) {
					return gateway.User{ID: l.UserID}, nil
				}
				return u, err
			}
		},
	},
	"looks and then links": {
		[]string{"an_identity_is_a_user_or_linked"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				if u, err := m.User(ctx, l.Joins.ID); err == nil && !u.FirstVisit.IsZero() {
					return gateway.User{}, gateway.ErrIdentityTaken
				}
				time.Sleep(time.Millisecond) // the fault itself
				u, err := m.Link(ctx, l)
				if errors.Is(err, gateway.ErrIdentityTaken) {
					return gateway.User{ID: l.UserID}, nil
				}
				return u, err
			}
		},
	},
	"links to whoever is named": {
		[]string{"an_identity_of_somebody_else"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				if u, _ := m.User(ctx, l.UserID); len(u.Identities) > 0 {
					l.By = u.Identities[0]
				}
				return m.Link(ctx, l)
			}
		},
	},
	"records the visit of a refused link": {
		[]string{"a_refused_link_is_no_visit", "a_user_has_so_many", "a_full_directory_refuses"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				u, err := m.Link(ctx, l)
				if err != nil {
					_, _ = m.Visit(ctx, l.By, l.At)
				}
				return u, err
			}
		},
	},
	"links once": {
		[]string{"an_identity_joins_a_user"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			var linked sync.Map
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				u, err := m.Link(ctx, l)
				if _, again := linked.LoadOrStore(l.Joins.ID, true); again && err == nil {
					return gateway.User{}, gateway.ErrIdentityTaken
				}
				return u, err
			}
		},
	},
	"refuses whom it does not know": {
		[]string{"an_identity_joins_a_user_who_is_not_known"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				if u, err := m.User(ctx, l.UserID); err == nil && u.FirstVisit.IsZero() {
					return gateway.User{}, gateway.ErrIdentityTaken
				}
				return m.Link(ctx, l)
			}
		},
	},
	"links without end": {
		[]string{"a_user_has_so_many"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				u, err := m.Link(ctx, l)
				if errors.Is(err, gateway.ErrTooManyIdentities) {
					return m.Visit(ctx, l.By, l.At)
				}
				return u, err
			}
		},
	},
	"does not ask whether it may still link": {
		[]string{"a_link_is_asked_for_once_more"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				l.Unless = nil
				return m.Link(ctx, l)
			}
		},
	},
	"asks, and then links": {
		[]string{"no_link_comes_after_a_revocation"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				if err := unless(l); err != nil {
					return gateway.User{}, err
				}
				l.Unless = nil // the fault itself
				return m.Link(ctx, l)
			}
		},
	},
	"links, and then asks": {
		[]string{"a_link_is_asked_for_once_more"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				u, err := m.Link(ctx, gateway.Link{UserID: l.UserID, By: l.By, Joins: l.Joins, At: l.At})
				return u, cmp.Or(err, unless(l))
			}
		},
	},
	"says more than it was told": {
		[]string{"a_link_is_asked_for_once_more"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				u, err := m.Link(ctx, l)
				if err != nil {
					err = fmt.Errorf("linking: %w", err)
				}
				return u, err
			}
		},
	},
	"everybody is new": {
		[]string{"visits_are_recorded", "of_concurrent_visits", "a_full_directory_refuses"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				u, err := m.Visit(ctx, by, at)
				u.New = err == nil
				return u, err
			}
		},
	},
	"looks and then greets": {
		[]string{"of_concurrent_visits"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				before, _ := m.User(ctx, by.ID)
				time.Sleep(time.Millisecond) // the fault itself
				u, err := m.Visit(ctx, by, at)
				u.New = before.FirstVisit.IsZero()
				return u, err
			}
		},
	},
	"counts no visit but the first": {
		[]string{"visits_are_recorded", "an_identity_joins_a_user"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				if u, err := m.User(ctx, by.ID); err == nil && !u.FirstVisit.IsZero() {
					return u, nil
				}
				return m.Visit(ctx, by, at)
			}
		},
	},
	"follows the clock back": {
		[]string{"visits_are_recorded", "of_concurrent_visits"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			var last sync.Map
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				u, err := m.Visit(ctx, by, at)
				u.LastVisit = at
				last.Store(u.ID, at)
				return u, err
			}
			b.user = func(ctx context.Context, id string) (gateway.User, error) {
				u, err := m.User(ctx, id)
				if at, ok := last.Load(id); ok {
					u.LastVisit, _ = at.(time.Time)
				}
				return u, err
			}
		},
	},
	"does not know when": {
		[]string{"visits_are_recorded", "identities_of_no_ID"},
		func(b *broken, m *store.Memory, o storetest.Options) {
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				if at.IsZero() {
					at = o.Now()
				}
				return m.Visit(ctx, by, at.Truncate(time.Second))
			}
		},
	},
	"cuts IDs at NUL": {
		[]string{"users_who_resemble"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				by.ID, _, _ = strings.Cut("i"+by.ID, "\x00")
				return m.Visit(ctx, by, at)
			}
		},
	},
	"mends what is no text": {
		[]string{"users_who_resemble"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				by.Subject = strings.ToValidUTF8(by.Subject, "\ufffd")
				return m.Visit(ctx, by, at)
			}
		},
	},
	"cuts long subjects": {
		[]string{"identities_of_no_ID", "users_who_resemble"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				by.Subject = by.Subject[:min(len(by.Subject), 500)]
				return m.Visit(ctx, by, at)
			}
		},
	},
	"gives its own away": {
		[]string{"what_is_returned"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			var users sync.Map
			b.user = func(ctx context.Context, id string) (gateway.User, error) {
				u, err := m.User(ctx, id)
				held, _ := users.LoadOrStore(id, u.Identities)
				u.Identities, _ = held.([]gateway.Identity)
				return u, err
			}
		},
	},
	"does not wait": {
		[]string{"a_context_that_is_done_records"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				return m.Visit(context.WithoutCancel(ctx), by, at)
			}
		},
	},
	"blocks sign-in when full": {
		[]string{"a_full_directory_refuses"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			var full atomic.Bool
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				u, err := m.Visit(ctx, by, at)
				if errors.Is(err, gateway.ErrFull) {
					full.Store(true)
				}
				if full.Load() {
					return gateway.User{}, gateway.ErrFull
				}
				return u, err
			}
		},
	},
	"is ill when the directory is full": {
		[]string{"a_full_directory_refuses"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.probe = func(ctx context.Context) error {
				if _, err := m.Visit(ctx, gateway.Identity{ID: "probe"}, time.Now()); err != nil {
					return err
				}
				return m.Probe(ctx)
			}
		},
	},
	"keeps users among what is used": {
		[]string{"the_directory_is_apart", "a_store_full_of_others"},
		func(b *broken, m *store.Memory, o storetest.Options) {
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				if err := m.Use(ctx, by.ID, o.Now().Add(time.Hour)); err != nil && !errors.Is(err, gateway.ErrUsed) {
					return gateway.User{}, err
				}
				return m.Visit(ctx, by, at)
			}
		},
	},
	"counts no links": {
		[]string{"a_full_directory_refuses", "users_with_linked"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				u, err := m.Link(ctx, l)
				if errors.Is(err, gateway.ErrFull) {
					return m.Visit(ctx, l.By, l.At)
				}
				return u, err
			}
		},
	},
	"new users drive out linked ones": {
		[]string{"users_with_linked", "a_full_directory_refuses"},
		func(b *broken, m *store.Memory, o storetest.Options) {
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				u, err := m.Visit(ctx, by, at)
				if errors.Is(err, gateway.ErrFull) {
					m = store.NewMemory(store.MemoryConfig{Users: o.Users, Now: o.Now})
					b.owner, b.user, b.link = m.Owner, m.User, m.Link
					return m.Visit(ctx, by, at)
				}
				return u, err
			}
		},
	},
	"nobody makes way": {
		[]string{"users_make_way", "who_links_is_spared", "a_full_directory_keeps_all"},
		func(b *broken, _ *store.Memory, o storetest.Options) {
			born := o.Now()
			m := store.NewMemory(store.MemoryConfig{Users: o.Users, Now: func() time.Time { return born }})
			b.owner, b.user, b.visit, b.link = m.Owner, m.User, m.Visit, m.Link
		},
	},
	"users make way early": {
		[]string{"users_make_way"},
		func(b *broken, _ *store.Memory, o storetest.Options) {
			m := store.NewMemory(store.MemoryConfig{Users: o.Users, Now: func() time.Time { return o.Now().AddDate(0, 0, 1) }})
			b.owner, b.user, b.visit, b.link = m.Owner, m.User, m.Visit, m.Link
		},
	},
	"who links makes way": {
		[]string{"who_links_is_spared"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				if _, err := m.Visit(ctx, l.Joins, l.At); err != nil { // drives out whoever was away for longest
					return gateway.User{}, err
				}
				return m.User(ctx, l.UserID)
			}
		},
	},
	"makes room before it refuses": {
		[]string{"a_full_directory_keeps_all"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.link = func(ctx context.Context, l gateway.Link) (gateway.User, error) {
				u, err := m.Link(ctx, l)
				if errors.Is(err, gateway.ErrFull) {
					_, _ = m.Visit(ctx, l.By, l.At)
				}
				return u, err
			}
		},
	},
	"does not say that the directory is full": {
		[]string{"a_full_directory_refuses", "users_make_way"},
		func(b *broken, m *store.Memory, _ storetest.Options) {
			b.visit = func(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
				u, err := m.Visit(ctx, by, at)
				if errors.Is(err, gateway.ErrFull) {
					err = errors.New("something went wrong")
				}
				return u, err
			}
		},
	},
}

// unless asks what speaks against a link.
func unless(l gateway.Link) error {
	if l.Unless == nil {
		return nil
	}
	return l.Unless()
}
