package caddymodule_test

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// A client that goes away does not take the line with it: the work that it caused is
// done, and is told of, by a goroutine that outlives the request.
func TestAuditLogOfAClientThatWentAway(t *testing.T) {
	a := newAudited(t, "json")
	keys := newSlowKeys(t, a.issuer)
	a.load(strings.Replace(plainEnvironment, "{{environment}}", "id "+environmentID+"\n\t\t\tissuer "+a.issuer.URL()+"\n\t\t\tjwks_url "+keys.url+
		"\n\t\t\taudience "+audience+"\n\t\t\tstore memory", 1), plainSite)
	a.want(request{path: "/wallets/1", bearer: a.external("alice")}, 200, "")
	a.issuer.Rotate() // so that the next JWT is waited for
	before := len(a.lines())
	got := a.told(func() {
		a.giveUp(request{path: "/wallets/gone", bearer: a.external("alice")}, keys.asked)
		close(keys.answer)
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && len(a.lines()) == before; {
			time.Sleep(5 * time.Millisecond)
		}
	})
	want := fields(map[string]any{
		"msg": "granted", "decision": "exchange", "user": "some", "external_id": "alice", "session": "some",
		"method": "GET", "path": "/wallets/gone",
	})
	if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %v\nwant one line %v", got, want)
	}
}

// A client that gives up during a step-up is not refused, and no sign that the issuer is in trouble.
func TestAuditLogOfAStepUpThatWasGivenUp(t *testing.T) {
	a := newAudited(t, "json")
	keys := newSlowKeys(t, a.issuer)
	a.load(a.withLines("jwks_url "+keys.url, "store memory"), plainSite)
	session := a.signIn("alice")
	a.issuer.Rotate() // so that the key of the assertion is waited for
	r := request{method: "POST", path: "/wallets/1/export", bearer: session, assertion: a.assertion("alice", "wallet:export")}
	before := len(a.lines())
	a.giveUp(r, keys.asked)
	pollUntil(t, "the step-up was told of", func() bool { return len(a.lines()) == before+2 })
	close(keys.answer)
	for _, line := range a.lines()[before:] {
		if line["msg"] != "given up by the client" || line["code"] != "cancelled" {
			t.Errorf("got %v, want that the client gave up", line)
		}
	}
}
