package caddymodule_test

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

// Whoever has an id or an endpoint wrong finds out why from the logs, and whoever tries
// them one after the other is found there.
func TestLogsTellOfEndpointsThatAreNotThere(t *testing.T) {
	a := newAudited(t, "json")
	a.load(sdkEnvironment, plainSite)
	for _, c := range []struct {
		name, path  string
		environment any
	}{
		{"an endpoint", endpoints + "/nowhere", "default"},
		{"an environment", "/api/v0/sdk/" + unknownID + "/users", nil},
	} {
		got := a.told(func() { a.want(request{path: c.path}, 404, "not_found") })
		want := []map[string]any{fields(map[string]any{
			"msg": "refused", "decision": "refusal", "code": "not_found", "method": "GET", "path": c.path, "reason": "some", "environment": c.environment,
		})}
		if !slices.EqualFunc(got, want, func(x, y map[string]any) bool { return reflect.DeepEqual(x, y) }) {
			t.Errorf("%s that is not there:\n got %v\nwant %v", c.name, got, want)
		}
		a.wantCode(c.path, "not_found")
	}
	if got := a.told(func() { a.want(request{path: endpoints + "/settings"}, 200, "") }); len(got) != 0 {
		t.Errorf("one that is there is told of: %v", got)
	}
}

// wantCode waits for the access log's line of a request, which is written after the answer, and
// fails the test unless it has this code.
func (a *audited) wantCode(path, code string) {
	a.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for _, line := range linesOf(a.t, a.logFile) {
			asked, _ := line["request"].(map[string]any)
			if line["logger"] != "http.log.access" || asked["uri"] != path {
				continue
			}
			if line["byoa_code"] != code {
				a.t.Errorf("%s: the access log says %v, want %s", path, line["byoa_code"], code)
			}
			return
		}
	}
	a.t.Errorf("%s: no line in the access log", path)
}
