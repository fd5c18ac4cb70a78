package caddymodule_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/caddymodule"
)

// holdings are what a process has open at one moment.
type holdings struct {
	goroutines map[string][]string // their stacks, by the function that started them
	files      map[string]int      // by what they lead to
	pool       map[string]int      // references, by key
}

func takeHoldings(t *testing.T) holdings {
	t.Helper()
	return holdings{goroutines: goroutines(), files: openFiles(t), pool: caddymodule.PoolReferences()}
}

func goroutines() map[string][]string {
	buffer := make([]byte, 1<<20)
	for n := runtime.Stack(buffer, true); ; n = runtime.Stack(buffer, true) {
		if n < len(buffer) {
			buffer = buffer[:n]
			break
		}
		buffer = make([]byte, 2*len(buffer))
	}
	started := make(map[string][]string)
	for stack := range strings.SplitSeq(string(buffer), "\n\n") {
		by := "the runtime"
		if _, creator, ok := strings.Cut(stack, "\ncreated by "); ok {
			by, _, _ = strings.Cut(creator, " in goroutine")
		}
		started[by] = append(started[by], stack)
	}
	return started
}

// openFiles are those of this process. Sockets count by their kind alone.
func openFiles(t *testing.T) map[string]int {
	t.Helper()
	const descriptors = "/dev/fd"
	entries, err := os.ReadDir(descriptors)
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[string]int)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(descriptors, e.Name()))
		if err != nil {
			continue // it was that of the directory itself
		}
		kind, _, _ := strings.Cut(target, ":[")
		open[kind]++
	}
	return open
}

// beyond says what h has that before had not.
func (h holdings) beyond(before holdings) string {
	var b strings.Builder
	for by, stacks := range h.goroutines {
		if more := len(stacks) - len(before.goroutines[by]); more > 0 {
			fmt.Fprintf(&b, "%d more goroutines started by %s, of which one is\n%s\n\n", more, by, stacks[len(stacks)-1])
		}
	}
	for target, n := range h.files {
		if more := n - before.files[target]; more > 0 {
			fmt.Fprintf(&b, "%d more files open: %s\n", more, target)
		}
	}
	if !maps.Equal(h.pool, before.pool) {
		fmt.Fprintf(&b, "the pool holds %v, before it was %v\n", h.pool, before.pool)
	}
	return b.String()
}

// mustReturnTo waits until the process has nothing that it had not before. What Caddy and
// the standard library let go of a moment later is let go of by then.
func mustReturnTo(t *testing.T, before holdings) {
	t.Helper()
	more := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if more = takeHoldings(t).beyond(before); more == "" {
			return
		}
	}
	t.Error(more)
}

// Configs are reloaded for years. What one leaves behind, however small, ends the process one day.
func TestReloadsLeaveNothingBehind(t *testing.T) {
	g := prepare(t)
	g.upstream.closeConnections()
	configs := []string{
		plainEnvironment,
		g.withLines("jwks_url "+g.issuer.JWKSURL()+"?other", "cache_size 8MiB", "store memory", "exchange local {\n rotate 10d\n}"),
		g.withLines("jwks_file "+writeJWKS(t, g.issuer), "store file "+filepath.Join(g.storage(), "other.db")),
	}
	round := func() {
		for _, config := range configs {
			g.load(config, plainSite)
			session := g.signIn("alice")
			g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
			g.want(request{method: "POST", path: "/wallets/1/export", bearer: session, elevated: g.elevate(session, "alice", "wallet:export")}, 200, "")
		}
	}
	round()
	pollUntil(t, "nothing lingers of earlier configs", func() bool { return caddymodule.Lingering() == 0 })
	before := takeHoldings(t)
	if len(before.pool) == 0 || len(ownGoroutines()) == 0 || len(g.ownFiles()) == 0 {
		t.Fatal("a gateway that runs seems to hold nothing: nothing would be seen to be left")
	}
	for range 30 / len(configs) {
		round()
	}
	mustReturnTo(t, before)

	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	pollUntil(t, "the pool is empty", func() bool { return len(caddymodule.PoolReferences()) == 0 })
	pollUntil(t, "no goroutine of the gateway is left", func() bool { return len(ownGoroutines()) == 0 })
	pollUntil(t, "no store is open", func() bool { return len(g.ownFiles()) == 0 })
}

// ownFiles are those that the gateway alone has reason to keep open.
func (g *running) ownFiles() []string {
	var own []string
	for path := range openFiles(g.t) {
		if strings.HasPrefix(path, g.storage()) && strings.HasSuffix(path, ".db") {
			own = append(own, path)
		}
	}
	return own
}

// ownGoroutines are the stacks of the goroutines that run code of this module, or of what it keeps things in.
func ownGoroutines() []string {
	var found []string
	for _, stacks := range goroutines() {
		for _, stack := range stacks {
			if strings.Contains(stack, "_test.") || strings.Contains(stack, "verifiertest") {
				continue // the tests' own
			}
			if slices.ContainsFunc([]string{"caddy-byoa/caddy-byoa", "dgraph-io/ristretto", "go.etcd.io/bbolt"}, func(path string) bool {
				return strings.Contains(stack, path)
			}) {
				found = append(found, stack)
			}
		}
	}
	return found
}

// closeConnections makes every answer the last one of its connection, so that nothing of a test stays open.
func (u *upstream) closeConnections() {
	u.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = w.Write([]byte("upstream"))
	})
}
