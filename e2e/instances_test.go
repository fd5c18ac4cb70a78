package e2e_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

// instances are gateways of one environment on one storage, each with a store of its own.
func instances(t *testing.T, i *issuer, storage string, n int) []*gateway {
	t.Helper()
	var all []*gateway
	for range n {
		all = append(all, instance(t, i, storage, config{}))
	}
	return all
}

func instance(t *testing.T, i *issuer, storage string, c config) *gateway {
	t.Helper()
	c.Global = "storage file_system " + storage
	return prepareGateway(t, i, c)
}

// startTogether starts them at the same moment.
func startTogether(t *testing.T, all []*gateway) {
	t.Helper()
	var done sync.WaitGroup
	for n, g := range all {
		done.Go(func() {
			p, err := g.tryStart(t)
			if err != nil {
				t.Errorf("starting instance %d: %v", n+1, err)
			}
			g.process = p
		})
	}
	done.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func stopAll(t *testing.T, all []*gateway) {
	t.Helper()
	for _, g := range all {
		g.stop(t)
	}
}

// pollUntil waits for what happens soon unless something is broken.
func pollUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// kids are those of the keys that the gateway publishes, the oldest first.
func (g *gateway) kids(t *testing.T) []string {
	t.Helper()
	res, err := http.Get(g.jwksURL())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var set struct{ Keys []struct{ Kid string } }
	if err := json.NewDecoder(res.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	var kids []string
	for _, k := range set.Keys {
		kids = append(kids, k.Kid)
	}
	return kids
}

// mustPublish fails the test unless each of them publishes exactly these keys.
func mustPublish(t *testing.T, all []*gateway, want ...string) {
	t.Helper()
	for n, g := range all {
		if got := g.kids(t); !slices.Equal(got, want) {
			t.Fatalf("instance %d publishes %q, want %q", n+1, got, want)
		}
	}
}

// mustSignWith fails the test unless each of them signs with this key, and all of them
// and other people's software take what it signs.
func mustSignWith(t *testing.T, all []*gateway, kid string) {
	t.Helper()
	for _, g := range all {
		session := g.signIn(t, g.issuer.token(t, nil))
		mustOpenEverywhere(t, all, session)
		if got := g.issuer.verify(t, session, g.jwksURL(), nil).Header["kid"]; got != kid {
			t.Errorf("a new session token is signed with %v, want %s", got, kid)
		}
	}
}

func mustOpenEverywhere(t *testing.T, all []*gateway, session string) {
	t.Helper()
	for _, g := range all {
		g.send(t, get(home).bearer(session)).mustPass(t)
		g.issuer.verify(t, session, g.jwksURL(), claims{"audience": environmentID})
	}
}

// Of two instances that find no key each makes one, if nothing keeps them from it, and then
// neither takes the other one's tokens.
func TestInstancesThatStartTogetherHaveOneKey(t *testing.T) {
	all := instances(t, startIssuer(t, newSecrets()), t.TempDir(), 3)
	startTogether(t, all)
	kids := all[0].kids(t)
	if len(kids) != 1 {
		t.Fatalf("%q are published, want one key", kids)
	}
	mustPublish(t, all, kids[0])
	mustSignWith(t, all, kids[0])
}

func TestRotationByHandIsPublishedByAllBeforeItSigns(t *testing.T) {
	all := instances(t, startIssuer(t, newSecrets()), t.TempDir(), 2)
	startTogether(t, all)
	one, two := all[0], all[1]
	old := one.kids(t)[0]
	session := one.signIn(t, one.issuer.token(t, nil))

	one.rotate(t)
	kids := one.kids(t)
	if len(kids) != 2 || kids[0] != old {
		t.Fatalf("%q are published, want %s and the next key", kids, old)
	}
	// An instance looks at its storage once a minute, and when it sees a key that it does not know.
	stray := signing{Stray: true, Header: claims{"kid": "unknown"}, Payload: tokenClaims(claims{"iss": "urn:uuid:" + environmentID, "aud": environmentID})}
	two.send(t, get(home).bearer(two.issuer.sign(t, stray))).mustRefuse(t, 401, "key_not_found")
	mustPublish(t, all, kids...)
	two.rotate(t) // asks for what is there already
	mustPublish(t, all, kids...)
	mustSignWith(t, all, old)
	mustOpenEverywhere(t, all, session)
}

// rotate does what an operator does.
func (g *gateway) rotate(t *testing.T) {
	t.Helper()
	out, err := command(g.config.dir, "byoa", "keys", "rotate", "--address", g.admin).CombinedOutput()
	g.secrets.Watch("what caddy byoa keys rotate printed", string(out))
	if err != nil {
		t.Fatalf("rotating the keys: %v\n%s", err, out)
	}
}

// A key is a month old before it rotates. Here the month has passed while nothing ran:
// what is stored is dated back.
func TestRotationByAge(t *testing.T) {
	const day = 24 * time.Hour
	storage := t.TempDir()
	all := instances(t, startIssuer(t, newSecrets()), storage, 2)
	startTogether(t, all)
	old := all[0].kids(t)[0]
	session := all[0].signIn(t, all[0].issuer.token(t, nil))

	stopAll(t, all)
	ageKeys(t, storage, 30*day-30*time.Minute)
	startTogether(t, all)
	kids := all[0].kids(t)
	if len(kids) != 2 || kids[0] != old {
		t.Fatalf("%q are published, want %s and one next key, though two instances found it due", kids, old)
	}
	mustPublish(t, all, kids...)
	mustSignWith(t, all, old)

	stopAll(t, all)
	ageKeys(t, storage, time.Hour)
	startTogether(t, all)
	mustPublish(t, all, kids...)
	mustSignWith(t, all, kids[1])
	mustOpenEverywhere(t, all, session)
}

func keysIn(storage string) string {
	return filepath.Join(storage, "byoa", "keys", environmentID+".json")
}

// ageKeys dates everything about the stored keys back.
func ageKeys(t *testing.T, storage string, by time.Duration) {
	t.Helper()
	path := keysIn(storage)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Version int                          `json:"version"`
		Keys    []map[string]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &stored); err != nil || len(stored.Keys) == 0 {
		t.Fatalf("reading the stored keys: %d keys, error %v", len(stored.Keys), err)
	}
	for _, key := range stored.Keys {
		for _, name := range []string{"created", "signs_from", "signs_until", "retires", "leaves"} {
			var at time.Time
			if key[name] == nil || json.Unmarshal(key[name], &at) != nil {
				continue
			}
			key[name], _ = json.Marshal(at.Add(-by))
		}
	}
	if raw, err = json.Marshal(stored); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whoever holds the lock of the shared keys may be killed at that very moment.
func TestInstanceKilledWithTheLockDoesNotStopOthers(t *testing.T) {
	storage := t.TempDir()
	i := startIssuer(t, newSecrets())
	first := instance(t, i, storage, config{})
	first.start(t)
	session := first.signIn(t, i.token(t, nil))
	first.stop(t)

	another := config{Exchange: "algorithm EdDSA"} // needs a key that is not there, so the lock
	killWithTheLock(t, instance(t, i, storage, another), storage)
	heir := instance(t, i, storage, another)
	heir.start(t)
	fresh := heir.signIn(t, i.token(t, nil))
	i.verify(t, fresh, heir.jwksURL(), claims{"algorithms": []string{"EdDSA"}})
	heir.send(t, get(home).bearer(fresh)).mustPass(t)
	heir.send(t, get(home).bearer(session)).mustPass(t)
}

// killWithTheLock runs the gateway until it holds the lock. It reads the keys once before
// and once with it: they are in a pipe, into which they are written once.
func killWithTheLock(t *testing.T, g *gateway, storage string) {
	t.Helper()
	path := keysIn(storage)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	g.address, g.admin = freeport.Address(t), freeport.Address(t)
	holder := command(g.config.dir, "run", "--config", g.writeCaddyfile(t, t.TempDir()), "--adapter", "caddyfile")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
		if len(locksOf(t, storage)) != 1 {
			t.Error("the lock was released")
		}
		if err := errors.Join(os.Remove(path), os.WriteFile(path, raw, 0o600)); err != nil {
			t.Fatal(err)
		}
	}()
	var pipe *os.File
	pollUntil(t, "the gateway reads its keys", func() bool {
		pipe, err = os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0) // fails while nobody reads
		return err == nil
	})
	_, err = pipe.Write(raw)
	if err := errors.Join(err, pipe.Close()); err != nil {
		t.Fatal(err)
	}
	pollUntil(t, "the gateway holds the lock", func() bool { return len(locksOf(t, storage)) == 1 })
}

// locksOf are the locks of the environment's keys.
func locksOf(t *testing.T, storage string) (held []string) {
	t.Helper()
	locks, err := filepath.Glob(filepath.Join(storage, "locks", "*.lock"))
	if err != nil {
		t.Fatal(err)
	}
	for _, lock := range locks {
		if content, err := os.ReadFile(lock); err == nil && len(content) > 0 && strings.Contains(lock, environmentID) {
			held = append(held, lock)
		}
	}
	return held
}
