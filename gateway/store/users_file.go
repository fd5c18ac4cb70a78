package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// Owner implements [gateway.Directory].
func (f *File) Owner(identity string) (string, error) {
	if f.isClosed() {
		return "", errClosed
	}
	return f.links.ask(identity)
}

// User implements [gateway.Directory]. It reads the file, and waits for nobody who writes.
func (f *File) User(ctx context.Context, id string) (gateway.User, error) {
	if err := checkKey(id); err != nil {
		return gateway.User{}, err
	}
	var u gateway.User
	err := f.read(ctx, func(tx *bolt.Tx) error {
		r, err := f.register(tx, instant{})
		if err != nil {
			return err
		}
		a, err := r.account(id)
		if a != nil {
			u = a.user(id, false)
		}
		return err
	})
	if err != nil {
		return gateway.User{}, err
	}
	u.ID = id
	return u, nil
}

// Visit implements [gateway.Directory]. It treats its context as [File.Use] does.
func (f *File) Visit(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
	if err := checkVisit(by, at); err != nil {
		return gateway.User{}, err
	}
	return f.change(ctx, by.ID, func(r register) (u gateway.User, refusal, err error) {
		return visit(r, by, instantOf(at))
	})
}

// Link implements [gateway.Directory]. It treats its context as [File.Use] does. The
// goroutine that writes the file asks l.Unless, so that nothing is revoked meanwhile.
func (f *File) Link(ctx context.Context, l gateway.Link) (gateway.User, error) {
	if err := checkLink(l); err != nil {
		return gateway.User{}, err
	}
	return f.change(ctx, l.Joins.ID, func(r register) (u gateway.User, refusal, err error) {
		return link(r, l, instantOf(l.At))
	})
}

// change has the writer apply a rule that is about an identity. Whose that is according
// to the file is known from then on.
func (f *File) change(
	ctx context.Context, identity string, rule func(register) (u gateway.User, refusal, err error),
) (gateway.User, error) {
	var u gateway.User
	err := f.do(ctx, &change{
		apply: func(t *transaction) (refusal, err error) {
			u, refusal, err = rule(t.directory)
			return refusal, err
		},
		after: func() error {
			f.links.learn(identity, u.ID)
			return nil
		},
	})
	if err != nil {
		return gateway.User{}, err
	}
	return u, nil
}

// A fileRegister is the register of a [File], seen through one transaction.
type fileRegister struct {
	users, links *ledger
	now          instant
	room         int // for both together
}

func createRegister(tx *bolt.Tx) error {
	return errors.Join(createLedger(tx, usersLedger), createLedger(tx, linksLedger))
}

// hasRegister says whether a file has a register, or what is left of one. A file of a
// version that knew no users has none.
func hasRegister(tx *bolt.Tx) bool {
	return tx.Bucket([]byte(usersLedger)) != nil || tx.Bucket([]byte(linksLedger)) != nil
}

func (f *File) register(tx *bolt.Tx, now instant) (*fileRegister, error) {
	users, err := openLedger(tx, usersLedger)
	if err != nil {
		return nil, err
	}
	links, err := openLedger(tx, linksLedger)
	if err != nil {
		return nil, err
	}
	return &fileRegister{users, links, now, f.users}, nil
}

func (r *fileRegister) owner(identity string) (string, error) {
	held, err := r.links.get(identity)
	if err != nil || held == nil {
		return identity, err
	}
	return string(held.value), nil
}

func (r *fileRegister) account(id string) (*account, error) {
	held, err := r.users.get(id)
	if err != nil || held == nil {
		return nil, err
	}
	return readAccount(id, held)
}

func (r *fileRegister) makeRoom(n int, spared string) (refusal, err error) {
	held := int(r.users.count() + r.links.count()) //nolint:gosec // they are on a disk
	least, most := leaving(held, n, r.room)
	gone := r.users.expired(r.now, most, spared)
	if len(gone) < least {
		return fullOfUsers(held), nil
	}
	return nil, r.users.remove(gone)
}

func (r *fileRegister) putAccount(id string, a *account) error {
	held, err := r.users.get(id)
	if err != nil {
		return err
	}
	return r.users.put(id, held, record{a.until(), a.bytes()})
}

func (r *fileRegister) putLink(identity, id string) error {
	return r.links.put(identity, nil, record{never, []byte(id)})
}

// verify reads all of the register once, and calls take with every link. It finds links
// that lead nowhere, and users who have lost one.
func (r *fileRegister) verify(take func(identity, id string)) error {
	linked, err := r.linkedByUsers()
	if err != nil {
		return fmt.Errorf("reading the users: %w", err)
	}
	err = r.links.verify(func(identity string, held *record) error {
		id, has := linked[identity]
		switch {
		case !has || id != string(held.value):
			return damaged("an identity is linked to a user who does not have it")
		case r.users.holds(identity):
			return damaged("an identity is linked, and is a user of its own")
		}
		take(identity, id)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the links: %w", err)
	}
	if held := int(r.links.count()); held != len(linked) { //nolint:gosec // as many as were just read
		return damaged("users have %d linked identities, and %d are linked", len(linked), held)
	}
	return nil
}

// linkedByUsers says which identities users have linked according to their accounts.
func (r *fileRegister) linkedByUsers() (map[string]string, error) {
	linked := make(map[string]string)
	return linked, r.users.verify(func(id string, held *record) error {
		a, err := readAccount(id, held)
		if err != nil {
			return err
		}
		for _, i := range a.identities[1:] {
			if _, twice := linked[i.ID]; twice {
				return damaged("two users have one linked identity, or one has it twice")
			}
			linked[i.ID] = id
		}
		return nil
	})
}
