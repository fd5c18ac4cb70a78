package exchange

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

var birth = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func es256() schedule {
	return schedule{algorithm: "ES256", rotate: 30 * day, publish: time.Hour, outlive: day + clockSlack}
}

// stored describes a key by offsets from birth; a zero until or retires is no end.
func stored(kid, alg string, from, until, retires time.Duration) storedKey {
	k := storedKey{Kid: kid, Algorithm: alg, Created: birth, SignsFrom: birth.Add(from), Outlives: es256().outlive}
	if until != 0 {
		k.SignsUntil = birth.Add(until)
	}
	if retires != 0 {
		k.Retires = birth.Add(retires)
	}
	return k
}

// leavingAt returns k, which somebody has found idle.
func leavingAt(k storedKey, at time.Duration) storedKey {
	k.Leaves = birth.Add(at)
	return k
}

type outlookCase struct {
	name string
	keys []storedKey
	at   time.Duration

	published    string // kids
	signer, next string
	wants        time.Duration // -1: no key is to be made
	unsettled    bool
}

func (c outlookCase) run(t *testing.T) {
	now := birth.Add(c.at)
	o := es256().at(document{Version: documentVersion, Keys: c.keys}, now)
	var kids []string
	for _, k := range o.published {
		kids = append(kids, k.Kid)
	}
	if got := strings.Join(kids, " "); got != c.published {
		t.Errorf("published: got %q, want %q", got, c.published)
	}
	if got := kidOf(o.signer); got != c.signer {
		t.Errorf("signer: got %q, want %q", got, c.signer)
	}
	if got := kidOf(o.next); got != c.next {
		t.Errorf("next: got %q, want %q", got, c.next)
	}
	var wants time.Time
	if c.wants >= 0 {
		wants = birth.Add(c.wants)
	}
	if !o.wants.Equal(wants) {
		t.Errorf("a key that signs from: got %v, want %v", o.wants, wants)
	}
	if o.unsettled != c.unsettled {
		t.Errorf("unsettled: got %t, want %t", o.unsettled, c.unsettled)
	}
	if !o.changes.IsZero() && !o.changes.After(now) {
		t.Errorf("the outlook of %v changes at %v, which is not later", now, o.changes)
	}
}

func TestWhatADocumentMeansAtAnInstant(t *testing.T) {
	const retired = 31*day + clockSlack
	alone := []storedKey{stored("a", "ES256", 0, 0, 0)}
	pair := []storedKey{stored("a", "ES256", 0, 30*day, retired), stored("b", "ES256", 30*day, 0, 0)}
	other := []storedKey{stored("r", "RS256", 0, 0, 0)}
	ending := []storedKey{stored("r", "RS256", 0, time.Hour, day+time.Hour+clockSlack), stored("a", "ES256", time.Minute, 0, 0)}
	cut := []storedKey{stored("a", "ES256", 0, 2*day, 3*day+clockSlack)}
	going := []storedKey{leavingAt(pair[0], retired+grace), pair[1]}
	stray := stored("c", "ES256", 50*365*day, 0, 0)
	misled := []storedKey{stored("a", "ES256", 0, 50*365*day, 51*365*day), stray}
	settled := []storedKey{alone[0], leavingAt(stray, 2*day)}
	const furthest = 30*day + time.Hour + clockSlack

	for _, c := range []outlookCase{
		{name: "nothing stored", at: day, wants: day},
		{name: "a new key", keys: alone, published: "a", signer: "a", wants: -1},
		{name: "just before a successor is due", keys: alone, at: 30*day - time.Hour - 1, published: "a", signer: "a", wants: -1},
		{name: "a successor is due", keys: alone, at: 30*day - time.Hour, published: "a", signer: "a", wants: 30 * day},
		{name: "a successor is overdue and still published first", keys: alone, at: 40 * day, published: "a", signer: "a", wants: 40*day + time.Hour},

		{name: "the successor waits", keys: pair, at: 30*day - 1, published: "a b", signer: "a", next: "b", wants: -1},
		{name: "the successor signs", keys: pair, at: 30 * day, published: "a b", signer: "b", wants: -1},
		{name: "the old key's last token is alive", keys: pair, at: retired - 1, published: "a b", signer: "b", wants: -1},
		{name: "the old key's last token has expired", keys: pair, at: retired, published: "a b", signer: "b", wants: -1, unsettled: true},
		{name: "the old key stays a while", keys: going, at: retired + grace - 1, published: "a b", signer: "b", wants: -1},
		{name: "the old key is gone", keys: going, at: retired + grace, published: "b", signer: "b", wants: -1, unsettled: true},
		{name: "a wrong clock has found a needed key idle", keys: going, at: 30 * day, published: "a b", signer: "b", wants: -1, unsettled: true},
		{name: "a needed key should have left", keys: []storedKey{leavingAt(pair[0], -day), pair[1]}, at: 30 * day, published: "a b", signer: "b", wants: -1, unsettled: true},
		{name: "a retired key is to leave in a far future", keys: []storedKey{leavingAt(pair[0], 900*day), pair[1]}, at: retired, published: "a b", signer: "b", wants: -1, unsettled: true},

		{name: "a successor in a far future", keys: misled, at: day, published: "a c", signer: "a", wants: -1, unsettled: true},
		{name: "it is not waited for", keys: settled, at: 30*day - time.Hour, published: "a", signer: "a", wants: 30 * day, unsettled: true},
		{name: "it leaves", keys: settled, at: 2*day - 1, published: "a c", signer: "a", wants: -1},
		{name: "it is gone", keys: settled, at: 2 * day, published: "a", signer: "a", wants: -1, unsettled: true},
		{name: "the furthest successor", keys: []storedKey{stored("a", "ES256", 0, furthest, furthest+day+clockSlack), stored("b", "ES256", furthest, 0, 0)}, published: "a b", signer: "a", next: "b", wants: -1},
		{name: "all keys are ahead of a clock that is behind", keys: []storedKey{stored("a", "ES256", 400*day, 430*day, 431*day+clockSlack), stored("b", "ES256", 430*day, 0, 0)}, published: "a b", unsettled: true},

		{name: "another algorithm's key does not sign", keys: other, at: day, published: "r", wants: day, unsettled: true},
		{name: "another algorithm's key is published on", keys: ending, at: day, published: "r a", signer: "a", wants: -1},
		{name: "another algorithm's key has retired", keys: ending, at: day + time.Hour + clockSlack, published: "r a", signer: "a", wants: -1, unsettled: true},

		{name: "a key that another instance ends", keys: cut, at: day, published: "a", signer: "a", wants: -1},
		{name: "its end has come near", keys: cut, at: 2*day - 30*time.Minute + 1, published: "a", signer: "a", wants: -1, unsettled: true},
		{name: "its end has passed unseen", keys: cut, at: 2*day + time.Hour, published: "a", signer: "a", wants: -1, unsettled: true},
		{name: "it has retired", keys: cut, at: 3*day + clockSlack, published: "a", wants: 3*day + clockSlack, unsettled: true},

		{name: "stored in the wrong order", keys: []storedKey{pair[1], pair[0]}, at: day, published: "a b", signer: "a", next: "b", wants: -1, unsettled: true},
		{name: "an end that nobody wrote down", keys: []storedKey{alone[0], pair[1]}, at: day, published: "a b", signer: "a", next: "b", wants: -1, unsettled: true},
	} {
		t.Run(c.name, c.run)
	}
}

func TestALongerTokenLifetimeKeepsOldKeysLonger(t *testing.T) {
	s := es256()
	keys := []storedKey{stored("a", "ES256", 0, 30*day, 31*day+clockSlack), stored("b", "ES256", 30*day, 0, 0)}
	s.outlive = 7 * day
	d := s.settle(document{Keys: keys}, birth.Add(30*day))
	if want := birth.Add(37 * day); !d.Keys[0].Retires.Equal(want) {
		t.Errorf("retires at %v, want %v", d.Keys[0].Retires, want)
	}
	s.outlive = time.Hour
	d = s.settle(d, birth.Add(30*day))
	if want := birth.Add(37 * day); !d.Keys[0].Retires.Equal(want) {
		t.Errorf("a shorter lifetime brought the retirement forward to %v, want %v", d.Keys[0].Retires, want)
	}
}

func TestAKeyIsNeededAsLongAsTheLongestLifetimeItSignedUnder(t *testing.T) {
	long, short := es256(), es256()
	long.outlive, short.outlive = 7*day+clockSlack, time.Hour+clockSlack
	var c counter
	d, _, _ := long.amend(document{}, birth, false, c.generate)
	d, _, _ = short.amend(d, birth.Add(30*day-time.Hour), false, c.generate)
	if want := birth.Add(37*day + clockSlack); !d.Keys[0].Retires.Equal(want) {
		t.Errorf("under the shorter lifetime the old key retires at %v, want %v", d.Keys[0].Retires, want)
	}
	d, _, _ = short.amend(d, birth.Add(60*day-time.Hour), false, c.generate)
	if want := birth.Add(60*day + time.Hour + clockSlack); !d.Keys[1].Retires.Equal(want) {
		t.Errorf("a key that never signed under the longer one retires at %v, want %v", d.Keys[1].Retires, want)
	}
}

// As many keys as a ring is opened for are those that there ever are.
func TestTheKeysOfASchedule(t *testing.T) {
	for _, rotate := range []time.Duration{2 * time.Hour, 3 * time.Hour, 7 * day, 30 * day} {
		s := es256()
		s.rotate = rotate
		var c counter
		var d document
		most := 0
		for at := birth; at.Before(birth.Add(5*rotate + 5*day)); at = at.Add(5 * time.Minute) {
			d, _, _ = s.amend(d, at, false, c.generate)
			most = max(most, len(d.Keys))
		}
		if most > s.keys() || most < s.keys()-2 {
			t.Errorf("rotating every %v: %d keys at one time, foretold %d", rotate, most, s.keys())
		}
	}
}

// counter makes keys without keys in them.
type counter struct{ made int }

func (c *counter) generate(alg string) (storedKey, error) {
	c.made++
	return storedKey{Kid: fmt.Sprintf("%s-%04d", alg, c.made), Algorithm: alg}, nil
}

func TestRotationByHandIsPublishedFirst(t *testing.T) {
	var c counter
	s := es256()
	d, _, _ := s.amend(document{}, birth, false, c.generate)
	d, kid, err := s.amend(d, birth.Add(day), true, c.generate)
	if err != nil || kid != "ES256-0002" {
		t.Fatalf("got key %q and error %v, want ES256-0002", kid, err)
	}
	if o := s.at(d, birth.Add(day+time.Hour-1)); kidOf(o.signer) != "ES256-0001" {
		t.Errorf("before an hour is over %q signs, want the old key", kidOf(o.signer))
	}
	if o := s.at(d, birth.Add(day+time.Hour)); kidOf(o.signer) != "ES256-0002" {
		t.Errorf("after an hour %q signs, want the new key", kidOf(o.signer))
	}
	again, kid, err := s.amend(d, birth.Add(day+time.Minute), true, c.generate)
	if err != nil || kid != "" || len(again.Keys) != 2 {
		t.Errorf("asking again made key %q (%d keys, error %v), want none", kid, len(again.Keys), err)
	}
}

func TestRotationInALoopIsRefused(t *testing.T) {
	var c counter
	s := es256()
	s.outlive = 1000 * day
	d, now := document{}, birth
	for range maxKeys {
		var err error
		if d, _, err = s.amend(d, now, true, c.generate); err != nil {
			t.Fatalf("key %d: %v", c.made, err)
		}
		now = now.Add(2 * time.Hour)
	}
	if _, _, err := s.amend(d, now, true, c.generate); err == nil {
		t.Errorf("%d keys are published and one more was made", len(d.Keys))
	}
	if d, _, err := s.amend(d, now, false, c.generate); err != nil || len(d.Keys) != maxKeys {
		t.Errorf("with nothing to be made: got %d keys, error %v", len(d.Keys), err)
	}
}

// Whatever the instances do and when, a token must verify as long as it lives, and
// no key may sign before verifiers can know it.
func TestEveryTokenVerifiesAsLongAsItLives(t *testing.T) {
	type instances []schedule
	rs256 := es256()
	rs256.algorithm = "RS256"
	hurried := es256()
	hurried.rotate = 3 * time.Hour

	for name, fleet := range map[string]instances{
		"one":                              {es256()},
		"one in a hurry":                   {hurried},
		"several":                          {hurried, hurried, hurried},
		"one reconfigured and one not yet": {es256(), rs256},
	} {
		t.Run(name, func(t *testing.T) { simulate(t, fleet) })
	}
}

func simulate(t *testing.T, fleet []schedule) {
	random := rand.New(rand.NewPCG(1, uint64(len(fleet))))
	var c counter
	var d document
	now := birth
	lastSigned := map[string]time.Time{}
	most := 0
	for range 4000 {
		s := fleet[random.IntN(len(fleet))]
		if o := s.at(d, now); o.signer != nil {
			lastSigned[o.signer.Kid] = now
			waited := o.signer.SignsFrom.Sub(o.signer.Created)
			if waited != 0 && waited < s.publish {
				t.Fatalf("%s signs %v after it was published, want %v at least", o.signer.Kid, waited, s.publish)
			}
		}
		var err error
		if d, _, err = s.amend(d, now, random.IntN(500) == 0, c.generate); err != nil {
			t.Fatal(err)
		}
		after := s.at(d, now)
		if after.signer == nil || after.unsettled {
			t.Fatalf("after amending, signer %q, unsettled %t", kidOf(after.signer), after.unsettled)
		}
		most = max(most, len(d.Keys))
		for kid, at := range lastSigned {
			if !now.Before(at.Add(day)) {
				delete(lastSigned, kid)
			} else if !holds(after.published, kid) {
				t.Fatalf("%s signed at %v and is not published at %v", kid, at, now)
			}
		}
		now = now.Add(time.Duration(random.Int64N(int64(10 * time.Minute))))
	}
	if limit := fleet[0].keys() + spareKeys; most > limit {
		t.Errorf("%d keys were published at one time, want %d at most", most, limit)
	}
}

func holds(keys []storedKey, kid string) bool {
	for _, k := range keys {
		if k.Kid == kid {
			return true
		}
	}
	return false
}

func kidOf(k *storedKey) string {
	if k == nil {
		return ""
	}
	return k.Kid
}
