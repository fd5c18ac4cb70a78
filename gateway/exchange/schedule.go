package exchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The life of a key, and what each instant is for:
//
//	created   signs_from               signs_until                     retires         leaves
//	   |----------|------------------------|------------------------------|--------------|
//	   published,   signs; `current`         verifies what it signed;       needed by no   gone, with its
//	   `next`                                `previous`                     token          private half
//	   |<-Publish>|                        |<-- TokenLifetime + slack --->|<--- grace -->|
//	              |<---- about Rotate ---->|
//
// A successor is created Publish before Rotate is over, so every verifier can have
// fetched it before the first token that needs it; its signs_from is the old
// key's signs_until. The first key of an algorithm signs at once: nobody else may.
// Keys of another algorithm than the configured one then end within Publish. An
// instance that still is configured for that one takes the end back, so that
// instances can be reconfigured one after the other and none is left without a key.
//
// All of it is arithmetic over one shared document and a clock. Nothing but the
// making of a key has to happen at a certain instant, so an instance that cannot
// reach the storage still changes keys together with the others.
//
// A clock may be wrong, and no document can tell whose. So a key that one instance
// finds idle, because it has retired or begins later than any right clock can have
// arranged, is left as it is, is published on, and is given the instant at which it
// leaves; any instance that finds the key of use takes that back. One visit of an
// instance whose clock is wrong thereby deletes nothing. What remains: nothing
// protects the keys from a wrong clock that, for the whole grace, no instance with a
// right one contradicts; a clock that is wrong by less than Rotate can put one
// rotation off by as much, unless somebody rotates by hand; and while instances
// disagree for long, each of them writes once a minute.

// clockSlack is how much longer than the tokens it signed a key is published: clocks differ.
const clockSlack = 10 * time.Minute

// grace is how long an idle key stays. Whoever runs a gateway has its clocks set
// again within a day, and an idle key does no harm: what it signed has expired.
const grace = 24 * time.Hour

// maxKeys bounds a document. More keys than this are not rotation: two instances
// with different algorithms take turns, or somebody rotates by hand in a loop.
const maxKeys = 64

// spareKeys are left for rotation by hand, and for keys of another algorithm.
const spareKeys = 8

// documentVersion changes when an older program would misread what is stored.
const documentVersion = 1

// A document is what the instances share: the JSON in storage.
type document struct {
	Version int         `json:"version"`
	Keys    []storedKey `json:"keys"`
}

// A storedKey is one key and the instants of its life. The zero SignsUntil and
// Retires mean that no end is set yet, the zero Leaves that the key is not idle.
type storedKey struct {
	Kid        string          `json:"kid"`
	Algorithm  string          `json:"alg"`
	Created    time.Time       `json:"created"`
	SignsFrom  time.Time       `json:"signs_from"`
	SignsUntil time.Time       `json:"signs_until,omitzero"`
	Retires    time.Time       `json:"retires,omitzero"`
	Leaves     time.Time       `json:"leaves,omitzero"`
	Outlives   time.Duration   `json:"outlives,omitzero"` // nanoseconds: the longest outlive of a ring that had the key
	Private    json.RawMessage `json:"jwk"`
}

// signsAt leaves out which of several such keys signs, and that its algorithm must be the configured one.
func (k storedKey) signsAt(now time.Time) bool {
	return !now.Before(k.SignsFrom) && (k.SignsUntil.IsZero() || now.Before(k.SignsUntil))
}

// startsBefore orders keys by when they begin to sign, in the same way on every instance.
func startsBefore(a, b storedKey) int {
	if c := a.SignsFrom.Compare(b.SignsFrom); c != 0 {
		return c
	}
	return strings.Compare(a.Kid, b.Kid)
}

// A schedule is how one ring is configured to treat the shared document.
type schedule struct {
	algorithm                string
	rotate, publish, outlive time.Duration // outlive: how long a key is needed once it no longer signs
}

// keys is how many keys are published at one time when nobody rotates by hand.
func (s schedule) keys() int {
	life := s.publish + s.rotate + s.outlive + grace
	return int(life/s.rotate) + 2 // the one that life does not fill, and the one that is just leaving
}

// ahead says that t is later than a right clock can have arranged by now: a key
// begins to sign, or ends, within little more than Publish of when that is decided.
// Rotate is added to be sure where instances are not configured alike.
func (s schedule) ahead(t, now time.Time) bool {
	return t.After(now.Add(s.rotate + s.publish + clockSlack))
}

// idle says that k is of no use at now, if now is right.
func (s schedule) idle(k storedKey, now time.Time) bool {
	retired := !k.Retires.IsZero() && !now.Before(k.Retires)
	return retired || s.ahead(k.SignsFrom, now)
}

// An outlook is what a document means to one ring at one instant.
type outlook struct {
	published []storedKey // what verifies, the oldest first
	signer    *storedKey  // nil: nobody may sign
	next      *storedKey  // nil: no successor is published yet

	// rotates is when next begins to sign, or would if it were made on time.
	rotates time.Time

	// changes is the first instant at which another outlook holds; zero if there is none in sight.
	changes time.Time

	// wants is the instant from which a key that is to be made now shall sign. Zero: none is to be made.
	wants time.Time

	// unsettled means that the ends of keys have to be written down, or that keys leave.
	unsettled bool
}

// at says what d means at now, and what has to be done about it.
func (s schedule) at(d document, now time.Time) outlook {
	settled := s.settle(d, now)
	o := outlook{
		published: settled.Keys,
		unsettled: !slices.EqualFunc(d.Keys, settled.Keys, sameLife),
	}
	for i, k := range settled.Keys {
		switch {
		case k.Algorithm != s.algorithm || s.idle(k, now):
		case k.signsAt(now):
			o.signer = &settled.Keys[i]
		case now.Before(k.SignsFrom) && o.next == nil:
			o.next = &settled.Keys[i]
		}
	}
	o.changes = nextChange(settled.Keys, now)
	o.rotates, o.wants = s.rotation(o, now)
	return o
}

// rotation says when the signing key changes, and from when a key that is to be
// made now shall sign.
func (s schedule) rotation(o outlook, now time.Time) (rotates, wants time.Time) {
	switch {
	case o.signer == nil:
		return now, now
	case o.next != nil:
		return o.next.SignsFrom, time.Time{}
	}
	rotates = o.signer.SignsFrom.Add(s.rotate)
	if published := now.Add(s.publish); !published.Before(rotates) {
		return published, published
	}
	return rotates, time.Time{}
}

// settle leaves out the keys that have been idle for the grace, and sets the ends
// that follow from the others. It is the same for every instance with this schedule,
// however often it is applied, so that what one has written leaves the next nothing
// to write.
func (s schedule) settle(d document, now time.Time) document {
	var keys, idle []storedKey
	for _, k := range d.Keys {
		switch {
		case !s.idle(k, now):
			k.Leaves = time.Time{}
			keys = append(keys, k)
		case k.Leaves.IsZero() || now.Before(k.Leaves):
			idle = append(idle, leaving(k, now))
		}
	}
	slices.SortFunc(keys, startsBefore)
	s.setEnds(keys, now)
	keys = append(keys, idle...)
	slices.SortFunc(keys, startsBefore)
	return document{Version: documentVersion, Keys: keys}
}

// leaving returns the idle k with the instant at which it leaves. One that is further
// away than the grace was set by a clock that is ahead of this one.
func leaving(k storedKey, now time.Time) storedKey {
	if latest := instant(now.Add(grace)); k.Leaves.IsZero() || k.Leaves.After(latest) {
		k.Leaves = latest
	}
	return k
}

// setEnds sets when each of the keys, which are in order, no longer signs and when
// it retires. Retirement is only ever put off, and keys remember the longest outlive:
// a shorter TokenLifetime does not shorten the life of tokens that have been signed.
func (s schedule) setEnds(keys []storedKey, now time.Time) {
	var successor *storedKey
	for i := len(keys) - 1; i >= 0; i-- {
		k := &keys[i]
		switch {
		case k.Algorithm != s.algorithm:
			s.endOther(k, now)
		case successor != nil:
			k.SignsUntil = successor.SignsFrom
			successor = k
		default:
			s.carryOn(k, now)
			successor = k
		}
		k.Outlives = max(k.Outlives, s.outlive)
		if retires := k.SignsUntil.Add(k.Outlives); !k.SignsUntil.IsZero() && retires.After(k.Retires) {
			k.Retires = retires
		}
	}
}

// endOther ends a key of another algorithm, if nobody has.
func (s schedule) endOther(k *storedKey, now time.Time) {
	if k.SignsUntil.IsZero() {
		k.SignsUntil = later(now, k.SignsFrom).Add(s.publish)
	}
}

// carryOn takes back the end of our newest key, which only an instance with
// another algorithm can have set: here it is needed. Not before the end is near, so
// that the two do not contradict each other at every turn. An end that is too far
// away is that of a key which a clock running ahead has made to follow.
func (s schedule) carryOn(k *storedKey, now time.Time) {
	near := later(now, k.SignsFrom).Add(s.publish / 2)
	if !k.SignsUntil.IsZero() && (k.SignsUntil.Before(near) || s.ahead(k.SignsUntil, now)) {
		k.SignsUntil, k.Retires = time.Time{}, time.Time{}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// sameLife leaves aside what nobody changes once a key is made.
func sameLife(a, b storedKey) bool {
	return a.Kid == b.Kid && a.Outlives == b.Outlives &&
		a.SignsUntil.Equal(b.SignsUntil) && a.Retires.Equal(b.Retires) && leavesAlike(a, b)
}

// leavesAlike lets the instant at which an idle key leaves differ by what clocks do:
// it need not be written again for that.
func leavesAlike(a, b storedKey) bool {
	return a.Leaves.IsZero() == b.Leaves.IsZero() && a.Leaves.Sub(b.Leaves).Abs() <= clockSlack
}

// nextChange is the first instant after now that any of the keys names. Not each
// of them changes something; looking once too often costs little.
func nextChange(keys []storedKey, now time.Time) time.Time {
	var first time.Time
	for _, k := range keys {
		for _, t := range []time.Time{k.SignsFrom, k.SignsUntil, k.Retires, k.Leaves} {
			if t.After(now) && (first.IsZero() || t.Before(first)) {
				first = t
			}
		}
	}
	return first
}

// amend returns d as it should be stored at now, with the key that was made, if
// any. byHand asks for a successor before it is due; where one is published
// already that begins as soon as a new one could it changes nothing.
func (s schedule) amend(d document, now time.Time, byHand bool, generate func(alg string) (storedKey, error)) (document, string, error) {
	o := s.at(d, now)
	soon := now.Add(s.publish + clockSlack)
	if byHand && o.wants.IsZero() && (o.next == nil || o.next.SignsFrom.After(soon)) {
		o.wants = now.Add(s.publish)
	}
	d = document{Version: documentVersion, Keys: o.published}
	if o.wants.IsZero() {
		return d, "", nil
	}
	if len(d.Keys) >= maxKeys {
		return d, "", fmt.Errorf("making a signing key: %d are published already; do all instances use the algorithm %s?", len(d.Keys), s.algorithm)
	}
	k, err := generate(s.algorithm)
	if err != nil {
		return d, "", fmt.Errorf("making a signing key: %w", err)
	}
	k.Created, k.SignsFrom = instant(now), instant(o.wants)
	d.Keys = append(d.Keys, k)
	return s.settle(d, now), k.Kid, nil
}

// strays returns the error that names the keys of which s finds, and nobody has
// found before, that they begin too far ahead; nil if there is none.
func (s schedule) strays(d document, now time.Time) error {
	var errs []error
	for _, k := range d.Keys {
		if s.ahead(k.SignsFrom, now) && k.Leaves.IsZero() {
			errs = append(errs, fmt.Errorf("key %.64q is to sign from %s, which is later than any instance can have meant, and is not waited for: "+
				"check the clocks of all instances; this one says %s",
				k.Kid, k.SignsFrom.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)))
		}
	}
	return errors.Join(errs...)
}

// instant is t as it comes back from storage.
func instant(t time.Time) time.Time { return t.Round(0).UTC() }

// errForeign is the reason of every refusal of stored content that is not a
// document of ours. The decoder's own words are left out: they may quote a private key.
var errForeign = errors.New("the stored content is not a key document of this program; restore it, or remove it to start with new keys")

// decodeDocument reads what is in storage. It is strict: whatever it let pass, the next rotation would overwrite.
func decodeDocument(raw []byte) (document, error) {
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(raw, &v); err != nil || v.Version < 1 {
		return document{}, errForeign
	}
	if v.Version > documentVersion {
		return document{}, fmt.Errorf("the stored key document has version %d, and this program knows %d: update this instance", v.Version, documentVersion)
	}
	var d document
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&d); err != nil || len(d.Keys) == 0 {
		return document{}, errForeign
	}
	for i, k := range d.Keys {
		again := slices.ContainsFunc(d.Keys[:i], func(other storedKey) bool { return other.Kid == k.Kid })
		if again || k.Kid == "" || k.SignsFrom.IsZero() || k.Created.IsZero() {
			return document{}, fmt.Errorf("key %d of %d: %w", i+1, len(d.Keys), errForeign)
		}
	}
	return d, nil
}
