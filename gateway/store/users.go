package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// A register is where users and links are kept: the rules of [gateway.Directory] are
// written once, over this. Nobody else changes it while a rule is applied, nor revokes anything.
type register interface {
	// owner returns whose an identity is: its own ID where it was linked to nobody.
	owner(identity string) (string, error)

	// account returns nil where there is none.
	account(id string) (*account, error)

	// makeRoom makes room for n entries more. It may have users leave, but not the one
	// who is to be spared, and none if it refuses.
	makeRoom(n int, spared string) (refusal, err error)

	// putAccount and putLink find the room made.
	putAccount(id string, a *account) error
	putLink(identity, id string) error
}

// visit records a visit. A refusal is [gateway.ErrFull], and has changed nothing.
func visit(r register, by gateway.Identity, at instant) (u gateway.User, refusal, err error) {
	id, held, err := lookUp(r, by)
	if err != nil {
		return u, nil, err
	}
	if held == nil {
		if refusal, err := r.makeRoom(1, id); refusal != nil || err != nil {
			return u, refusal, err
		}
	}
	a := held.visited(by, at)
	return a.user(id, held == nil), nil, r.putAccount(id, a)
}

// link joins an identity to a user. A refusal has changed nothing. What [gateway.Link] says
// of Unless holds because nothing is revoked while a rule is applied.
func link(r register, l gateway.Link, at instant) (u gateway.User, refusal, err error) {
	id, held, err := lookUp(r, l.By)
	if err != nil {
		return u, nil, err
	}
	owner, stranger, err := lookUp(r, l.Joins)
	if err != nil {
		return u, nil, err
	}
	a := held.visited(l.By, at)
	again := id == l.UserID && owner == id
	switch {
	case id != l.UserID, stranger != nil && !again:
		return u, fmt.Errorf("linking an identity: %w", gateway.ErrIdentityTaken), nil
	case len(a.identities) >= gateway.MaxIdentities && !again:
		return u, fmt.Errorf("linking an identity: %w", gateway.ErrTooManyIdentities), nil
	}
	if l.Unless != nil {
		if refusal := l.Unless(); refusal != nil {
			return u, refusal, nil
		}
	}
	if again {
		return visit(r, l.Joins, at)
	}
	return write(r, l.Joins, id, a.with(l.Joins), held == nil)
}

// write writes a link, and the account of its user. It makes room for them first.
func write(r register, joins gateway.Identity, id string, a *account, isNew bool) (u gateway.User, refusal, err error) {
	entries := 1
	if isNew {
		entries = 2
	}
	if refusal, err := r.makeRoom(entries, id); refusal != nil || err != nil {
		return u, refusal, err
	}
	return a.user(id, isNew), nil, errors.Join(r.putAccount(id, a), r.putLink(joins.ID, id))
}

// lookUp returns whose an identity is, and the account of that user. Only one whom the
// identity itself makes may have none: nobody leaves who has linked anything.
func lookUp(r register, i gateway.Identity) (id string, a *account, err error) {
	if id, err = r.owner(i.ID); err != nil {
		return "", nil, err
	}
	a, err = r.account(id)
	if err == nil && a == nil && id != i.ID {
		err = damaged("an identity is linked to a user who is not there")
	}
	return id, a, err
}

// leaving says how many users have to leave for n entries beside those that are held,
// and how many may. Where there are too many because there was more room before, they
// become fewer with every change, and no single one pays for all.
func leaving(held, n, room int) (least, most int) {
	over := max(held+n-room, 0)
	return min(over, n), min(over, n+sweepPerWrite)
}

func fullOfUsers(held int) error {
	return fmt.Errorf("making room for a user: %w", full(uint64(held))) //nolint:gosec // a number of entries
}

func checkVisit(by gateway.Identity, at time.Time) error {
	if err := checkIdentity(by); err != nil {
		return err
	}
	if at.IsZero() {
		return errors.New("recording a visit: its time is missing")
	}
	return nil
}

func checkLink(l gateway.Link) error {
	if err := checkKey(l.UserID); err != nil {
		return fmt.Errorf("checking whom to link to: %w", err)
	}
	if err := checkIdentity(l.By); err != nil {
		return err
	}
	return checkVisit(l.Joins, l.At)
}
