package gateway_test

import (
	"os/exec"
	"strings"
	"testing"
)

// The floors of this project know only the floors below. This one decides, and must
// be usable without Caddy, without its logger and metrics, and without the
// libraries that hold caches and keys on other shelves.
func TestFloor(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	deps := strings.Fields(string(out))
	const below = "github.com/caddy-byoa/caddy-byoa/verifier"
	found := false
	for _, dep := range deps {
		found = found || dep == below
		if strings.HasPrefix(dep, "github.com/caddy-byoa/caddy-byoa/") && dep != below && !strings.HasSuffix(dep, "/gateway") {
			t.Errorf("gateway knows %s, which is not below it", dep)
		}
		for _, stranger := range []string{"github.com/caddyserver/", "go.uber.org/zap", "github.com/prometheus/", "github.com/dgraph-io/", "go.etcd.io/"} {
			if strings.HasPrefix(dep, stranger) {
				t.Errorf("gateway depends on %s", dep)
			}
		}
	}
	if !found {
		t.Errorf("%s is not among the dependencies: this test looks at nothing", below)
	}
}
