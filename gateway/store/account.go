package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// accountStay is how long a user with one identity stays, from the last visit, where
// others need the room. Whoever was away for longer is new again, and nothing else: the
// one identity still makes the same user.
const accountStay = 400 * 24 * time.Hour

// never is later than any time, and is when what is kept for good expires.
var never = instant{math.MaxInt64, 999_999_999}

// An account is what is kept of a user. The first of its identities is the one that
// makes the user; the others were linked.
type account struct {
	first, last instant // visits
	identities  []gateway.Identity
}

// until is when the account may make way. What was linked cannot be found out again,
// so whoever has linked something stays.
func (a *account) until() instant {
	if len(a.identities) > 1 {
		return never
	}
	return instant{a.last.sec + int64(accountStay/time.Second), a.last.nsec}
}

// visited returns the account of whom a is of, or if that is nil of a new user whom by makes.
func (a *account) visited(by gateway.Identity, at instant) *account {
	if a == nil {
		return &account{at, at, []gateway.Identity{ownText(by)}}
	}
	return &account{a.first, later(a.last, at), a.identities}
}

func (a *account) with(joins gateway.Identity) *account {
	return &account{a.first, a.last, append(slices.Clip(a.identities), ownText(joins))}
}

func (a *account) user(id string, isNew bool) gateway.User {
	return gateway.User{
		ID:         id,
		FirstVisit: a.first.time(),
		LastVisit:  a.last.time(),
		New:        isNew,
		Identities: slices.Clone(a.identities),
	}
}

// ownText copies an identity whose text may be a part of something large, such as a JWT.
func ownText(i gateway.Identity) gateway.Identity {
	return gateway.Identity{ID: strings.Clone(i.ID), Issuer: strings.Clone(i.Issuer), Subject: strings.Clone(i.Subject)}
}

// bytes encodes the account: both visits, and then ID, issuer and subject of one
// identity after the other, each behind its length.
func (a *account) bytes() []byte {
	b := append(a.first.bytes(), a.last.bytes()...)
	for _, i := range a.identities {
		for _, part := range []string{i.ID, i.Issuer, i.Subject} {
			b = binary.BigEndian.AppendUint16(b, uint16(len(part))) //nolint:gosec // maxKey or MaxIdentitySize at most
			b = append(b, part...)
		}
	}
	return b
}

// readAccount is the reverse of bytes. It refuses what cannot have been held for a user
// with that ID.
func readAccount(id string, held *record) (*account, error) {
	a, err := decodeAccount(held.value)
	switch {
	case err != nil:
		return nil, damaged("reading a user: %v", err)
	case len(a.identities) == 0 || a.identities[0].ID != id:
		return nil, damaged("reading a user: the identity that makes the user is not the first")
	case a.first.after(a.last):
		return nil, damaged("reading a user: the last visit was before the first")
	case a.until() != held.until:
		return nil, damaged("reading a user: the last visit does not fit to when the user may make way")
	}
	return a, nil
}

func decodeAccount(b []byte) (*account, error) {
	var a account
	var err error
	if a.first, b, err = cutInstant(b); err != nil {
		return nil, err
	}
	if a.last, b, err = cutInstant(b); err != nil {
		return nil, err
	}
	for len(b) > 0 {
		var i gateway.Identity
		for _, part := range []*string{&i.ID, &i.Issuer, &i.Subject} {
			if *part, b, err = cutText(b); err != nil {
				return nil, err
			}
		}
		if err := checkIdentity(i); err != nil {
			return nil, err
		}
		a.identities = append(a.identities, i)
	}
	return &a, nil
}

func cutText(b []byte) (text string, rest []byte, err error) {
	if len(b) < 2 {
		return "", nil, errors.New("a text has no length")
	}
	n, b := int(binary.BigEndian.Uint16(b)), b[2:]
	if len(b) < n {
		return "", nil, fmt.Errorf("a text has %d bytes, want %d", len(b), n)
	}
	return string(b[:n]), b[n:], nil
}

func checkIdentity(i gateway.Identity) error {
	if err := checkKey(i.ID); err != nil {
		return fmt.Errorf("checking an identity: %w", err)
	}
	if n := len(i.Issuer) + len(i.Subject); n > gateway.MaxIdentitySize {
		return fmt.Errorf("checking an identity: issuer and subject have %d bytes, want %d at most", n, gateway.MaxIdentitySize)
	}
	return nil
}
