package store

import (
	"context"
	"sync"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// Owner implements [gateway.Directory].
func (m *Memory) Owner(identity string) (string, error) {
	if m.closed.Load() {
		return "", errClosed
	}
	return m.people.links.ask(identity)
}

// User implements [gateway.Directory].
func (m *Memory) User(ctx context.Context, id string) (gateway.User, error) {
	if err := m.ready(ctx); err != nil {
		return gateway.User{}, err
	}
	if err := checkKey(id); err != nil {
		return gateway.User{}, err
	}
	return m.people.user(id), nil
}

// Visit implements [gateway.Directory]. With a context that is done it records nothing.
func (m *Memory) Visit(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
	if err := m.ready(ctx); err != nil {
		return gateway.User{}, err
	}
	if err := checkVisit(by, at); err != nil {
		return gateway.User{}, err
	}
	return m.people.change(func(r register) (u gateway.User, refusal, err error) {
		return visit(r, by, instantOf(at))
	})
}

// Link implements [gateway.Directory]. With a context that is done it records nothing. It
// asks l.Unless under the lock that whoever revokes something takes as well.
func (m *Memory) Link(ctx context.Context, l gateway.Link) (gateway.User, error) {
	if err := m.ready(ctx); err != nil {
		return gateway.User{}, err
	}
	if err := checkLink(l); err != nil {
		return gateway.User{}, err
	}
	return m.people.change(func(r register) (u gateway.User, refusal, err error) {
		return link(r, l, instantOf(l.At))
	})
}

// people is the register of a [Memory].
type people struct {
	now   func() time.Time
	room  int // for users and links together
	links *links

	mu    sync.Mutex // guards users, and is held by whoever changes links, or revokes: taken before the lock of those
	users table[account]
}

func newPeople(room int, now func() time.Time) *people {
	return &people{now: now, room: room, links: newLinks(), users: newTable[account]()}
}

func (p *people) user(id string) gateway.User {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, _ := p.account(id)
	if a == nil {
		return gateway.User{ID: id}
	}
	return a.user(id, false)
}

func (p *people) change(rule func(register) (u gateway.User, refusal, err error)) (gateway.User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, refusal, err := rule(p)
	if refusal != nil {
		err = refusal
	}
	if err != nil {
		return gateway.User{}, err
	}
	return u, nil
}

// The methods of [register] are for whoever holds p.mu.

func (p *people) owner(identity string) (string, error) { return p.links.owner(identity), nil }

func (p *people) account(id string) (*account, error) {
	e, ok := p.users.entries[id]
	if !ok {
		return nil, nil
	}
	return &e.value, nil
}

func (p *people) makeRoom(n int, spared string) (refusal, err error) {
	held := len(p.users.entries) + p.links.count()
	least, most := leaving(held, n, p.room)
	gone := p.users.takeDue(instantOf(p.now()), most, spared)
	if len(gone) < least {
		p.users.putBack(gone)
		return fullOfUsers(held), nil
	}
	p.users.drop(gone)
	return nil, nil
}

func (p *people) putAccount(id string, a *account) error {
	return p.users.put(id, entry[account]{*a, a.until()}, unbounded)
}

func (p *people) putLink(identity, id string) error {
	p.links.learn(identity, id)
	return nil
}
