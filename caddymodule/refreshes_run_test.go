package caddymodule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

// An issuer that is down is asked again and again: the log says so once, and once that it is over.
func TestLogOfAnIssuerThatIsDown(t *testing.T) {
	g := prepare(t)
	g.admin = freeport.Address(t)
	g.issuer.Fail(true)
	g.load(strings.Replace(plainEnvironment, "environment", "environment down", 1), plainSite)
	result := func(result string) string {
		return fmt.Sprintf(`caddy_byoa_jwks_refreshes_total{environment="down",provider=%q,result=%q}`, g.issuer.URL(), result)
	}
	g.waitFor(result("error"), 3)
	g.issuer.Fail(false)
	g.waitFor(result("ok"), 1)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
	told := map[string]int{}
	for _, line := range linesOf(t, g.logFile) {
		if line["logger"] == "byoa" && line["issuer"] == g.issuer.URL() {
			told[fmt.Sprint(line["level"])]++
		}
	}
	if told["error"] != 1 || told["info"] != 1 {
		t.Errorf("lines by level: %v; want one error for all failures, and one that they are over", told)
	}
}

// waitFor waits until a counter has reached a value.
func (g *running) waitFor(series string, value float64) {
	g.t.Helper()
	var got float64
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = g.scrape(g.admin)[series]; got >= value {
			return
		}
	}
	g.t.Fatalf("%s is %v, want %v", series, got, value)
}
