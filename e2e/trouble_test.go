package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/template"
	"time"
)

// troubleTime is for how long the gateway is troubled after it has been warmed up. A variable in
// the environment makes it longer, such as TROUBLE_TIME=150s. What the test itself keeps grows with it: the
// access log on disk, and in memory every refusal, to be searched for secrets in the end.
func troubleTime(t *testing.T) time.Duration {
	t.Helper()
	asked := os.Getenv("TROUBLE_TIME")
	if asked == "" {
		return time.Minute
	}
	d, err := time.ParseDuration(asked)
	if err != nil {
		t.Fatalf("TROUBLE_TIME: %v", err)
	}
	return d
}

const (
	warmUp       = 12 * time.Second
	troubleUsers = 32
	smallCache   = "cache_size 1MiB" // so that it is full when it is warm
)

// A minute in the life of a gateway that is in nobody's favour: 32 users at it without pause while
// its config is changed every second, the login system is there, fails and hangs in turn
// and has new keys all the time, and our own signing key is another one with every config.
// Nobody may be taken for somebody else, be refused for it, or get anything twice;
// and nothing may be left of it.
func TestAMinuteOfTroubleHarmsNobodyAndLeavesNothing(t *testing.T) {
	s := startStorm(t)
	s.rage(t, warmUp)
	before := s.settled(t, func(holdings) bool { return true })
	d := troubleTime(t)
	s.rage(t, d)
	s.mustHaveRaged(t)
	before.heap += bytesPerProof * s.proofsRemembered(d)
	s.settled(t, func(now holdings) bool { return !now.exceeds(before) })
	s.sampleReplays(t)
}

// A storm is a gateway in trouble.
type storm struct {
	*gateway
	api   *countingAPI
	users []*troubledUser

	loads int
	keys  sync.Map // kid → true, of the login system: the gateway has let in a token of that key
}

// troubleCaddyfile writes what an operator would have in his logs: there are many requests.
var troubleCaddyfile = template.Must(template.New("Caddyfile").Parse(strings.NewReplacer(
	"level DEBUG", "level WARN", "\tdebug\n", "", "grace_period 5s", "grace_period 30s").Replace(caddyfile.Root.String())))

func startStorm(t *testing.T) *storm {
	t.Helper()
	api := startCountingAPI(t)
	i := startIssuer(t, newSecrets())
	s := &storm{api: api, gateway: startGatewayFor(t, i, config{Upstream: api.url, caddyfile: troubleCaddyfile, Environment: smallCache})}
	for n := range troubleUsers {
		s.users = append(s.users, newTroubledUser(s, n))
	}
	return s
}

// rage has all users at it, and everything else against them, for a while.
func (s *storm) rage(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var troubles, users sync.WaitGroup
	troubles.Go(func() { s.every(ctx, t, time.Second, func() error { return s.load(t) }) })
	troubles.Go(func() { s.every(ctx, t, 2*time.Second, s.flap()) })
	troubles.Go(func() { s.every(ctx, t, 10*time.Second, s.rotateKeys) })
	var calm atomic.Bool
	for _, u := range s.users {
		users.Go(func() { u.askUntil(t, &calm) })
	}
	troubles.Wait()
	s.issuer.call(t, "/behave", claims{"status": http.StatusOK, "hang": false}, nil)
	calm.Store(true)
	users.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// every does something again and again until the time is up.
func (s *storm) every(ctx context.Context, t *testing.T, interval time.Duration, do func() error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := do(); err != nil {
				t.Errorf("troubling the gateway: %v", err)
				return
			}
		}
	}
}

// load puts another config in force. Each has another key to sign with, and another memory.
func (s *storm) load(t *testing.T) error {
	s.loads++
	at := placement{config: s.config, Admin: s.admin, Address: s.address, Logs: s.process.logs}
	at.Port = s.address[strings.LastIndexByte(s.address, ':')+1:]
	at.Exchange = []string{"algorithm ES256", "algorithm EdDSA"}[s.loads%2]
	at.Environment = []string{smallCache, "cache_size 2MiB"}[s.loads/2%2]
	res, err := http.Post("http://"+s.admin+"/load", "text/caddyfile", strings.NewReader(at.render(t)))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var said bytes.Buffer
		_, _ = said.ReadFrom(res.Body)
		return fmt.Errorf("loading a config: %d %s", res.StatusCode, &said)
	}
	return nil
}

// flap has the login system be there, fail and hang in turn.
func (s *storm) flap() func() error {
	turn := 0
	return func() error {
		turn++
		return exchangeJSON(s.issuer.url+"/behave", []claims{
			{"status": http.StatusOK, "hang": false},
			{"status": http.StatusInternalServerError, "hang": false},
			{"hang": true},
		}[turn%3], nil)
	}
}

// rotateKeys has the login system sign with new keys, beside which the old ones are good
// for longer than any token here, and the gateway announce a new one. Each config has an admin
// API of its own, so that the connection may be closed.
func (s *storm) rotateKeys() error {
	if err := exchangeJSON(s.issuer.url+"/rotate", claims{"keep": 50}, nil); err != nil {
		return err
	}
	var err error
	for range 5 {
		err = exchangeJSON("http://"+s.admin+"/byoa/environments/production/keys/rotate", claims{}, nil)
		if !closedWithoutAnswer(err) {
			break
		}
	}
	return err
}

// mustHaveRaged fails the test if there was no trouble.
func (s *storm) mustHaveRaged(t *testing.T) {
	t.Helper()
	keys := 0
	s.keys.Range(func(_, _ any) bool { keys++; return true })
	if s.loads < 5 || keys < 3 {
		t.Errorf("%d configs were loaded, and tokens of %d keys let in: want 5 and 3", s.loads, keys)
	}
	seen := make(map[string]int)
	for _, u := range s.users {
		if u.passed == 0 {
			t.Errorf("%s was never let in", u.name)
		}
		for what, n := range u.seen {
			seen[what] += n
		}
	}
	t.Logf("%d configs, %d keys of the login system, answers: %v", s.loads, keys, seen)
}

// bytesPerProof is more than the gateway's memory of one proof takes, or of two: an elevated token is
// counted once, and comes of an assertion.
const bytesPerProof = 1 << 10

// proofsRemembered is how many of the proofs that were used the gateway may have to know still: it has to
// remember each for as long as that would be good otherwise.
func (s *storm) proofsRemembered(d time.Duration) float64 {
	used := 0
	for _, u := range s.users {
		used += u.requests
	}
	return float64(used) * min(1, float64(assertionLifetime)/float64(d))
}

// sampleReplays presents some of the proofs that were used once more.
func (s *storm) sampleReplays(t *testing.T) {
	t.Helper()
	for _, u := range s.users {
		for n := 0; n < len(u.spent); n += 1 + len(u.spent)/10 {
			if err := u.mustBeSpent(u.spent[n]); err != nil {
				t.Errorf("%s, when all was over: %v", u.name, err)
			}
		}
	}
}

// holdings are what the gateway's process holds of what it could run out of.
type holdings struct{ goroutines, heap, files float64 }

// exceeds allows for what comes and goes, caches of either size among it. What each config or each
// request leaves behind is more than that after a minute.
func (h holdings) exceeds(before holdings) bool {
	const some, someBytes = 10, 16 << 20
	return h.goroutines > before.goroutines+some || h.files > before.files+some || h.heap > before.heap+someBytes
}

// settled waits until the process, with nobody at it, holds no more than enough says, and no
// longer less than a moment ago.
func (s *storm) settled(t *testing.T, enough func(holdings) bool) (now holdings) {
	t.Helper()
	for _, u := range s.users {
		u.http.CloseIdleConnections()
	}
	last := holdings{}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Second) {
		now = s.holdings(t)
		if enough(now) && !last.exceeds(now) && now.goroutines == last.goroutines {
			t.Logf("it holds %+v", now)
			return now
		}
		if last = now; time.Now().After(deadline) {
			t.Fatalf("the gateway holds %+v and does not let go of it", now)
		}
	}
}

// holdings asks Caddy's metrics, after a garbage collection.
func (s *storm) holdings(t *testing.T) (h holdings) {
	t.Helper()
	s.process.ask(t, "/debug/pprof/heap?gc=1&debug=1")
	for line := range strings.Lines(s.process.ask(t, "/metrics")) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		for metric, into := range map[string]*float64{
			"go_goroutines": &h.goroutines, "go_memstats_heap_inuse_bytes": &h.heap, "process_open_fds": &h.files,
		} {
			if name == metric {
				*into, _ = strconv.ParseFloat(text, 64)
			}
		}
	}
	if h.goroutines == 0 || h.heap == 0 || h.files == 0 {
		t.Fatalf("the metrics say %+v", h)
	}
	return h
}
