package caddymodule_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// audited is a gateway whose audit log is a file of its own.
type audited struct {
	*running
	file string
}

func newAudited(t *testing.T, format string) *audited {
	g := prepare(t)
	a := &audited{g, filepath.Join(g.storage(), "audit.log")}
	g.options = `log audit {
		output file ` + a.file + `
		include byoa.audit
		format ` + format + `
	}
	servers {
		trusted_proxies static 127.0.0.1/32
	}`
	return a
}

// lines are those of the audit log so far.
func (a *audited) lines() []map[string]any {
	a.t.Helper()
	return linesOf(a.t, a.file)
}

func linesOf(t *testing.T, name string) (lines []map[string]any) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		line := map[string]any{}
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatalf("line %q: %v", s.Text(), err)
		}
		lines = append(lines, line)
	}
	return lines
}

// told are the lines that do causes, without what differs from run to run.
func (a *audited) told(do func()) []map[string]any {
	a.t.Helper()
	before := len(a.lines())
	do()
	lines := a.lines()[before:]
	for _, line := range lines {
		for _, name := range []string{"session", "jti", "user", "reason"} {
			if text, ok := line[name].(string); ok && text != "" {
				line[name] = "some"
			}
		}
		if line["logger"] != "byoa.audit" {
			a.t.Errorf("logger %v", line["logger"])
		}
		for _, name := range []string{"ts", "logger"} {
			delete(line, name)
		}
	}
	return lines
}

// fields is a line with what all lines here have in common, as more says otherwise.
func fields(more map[string]any) map[string]any {
	all := map[string]any{"level": "info", "environment": "default", "client_ip": "127.0.0.1"}
	for name, value := range more {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return all
}

const (
	auditedEnvironment = `environment {
			{{environment}}
			cookie_name app_session
		}`
	auditedSite = `byoa_api
	@trial path /trial/*
	rewrite @trial /wallets/1/export
	byoa
	step_up /wallets/1/export wallet:export {
		report_only
	}
	step_up {
		GET  /wallets/{id}        -
		POST /wallets/{id}/sign   wallet:sign
		POST /wallets/{id}/export -
		/fresh                    -
		/closed                   deny
	}
	step_up /fresh wallet:sign {
		max_age 5m
	}
	reverse_proxy {{upstream}}`
)

// Each decision is one line, and says all that is known of it.
func TestAuditLog(t *testing.T) {
	for _, format := range []string{"json", "byoa"} {
		t.Run("format "+format, func(t *testing.T) {
			a := newAudited(t, format)
			a.load(auditedEnvironment, auditedSite)
			a.runAuditCases(t)
			for _, line := range linesOf(t, a.logFile) {
				if line["logger"] == "byoa.audit" {
					t.Fatalf("the default log has a line that was routed to another: %v", line)
				}
			}
			raw, err := os.ReadFile(a.file)
			if err != nil {
				t.Fatal(err)
			}
			for _, token := range append(a.secrets, a.upstream.tokens()...) {
				if segment := shownSegment(string(raw), token); segment != "" {
					t.Errorf("the audit log shows a part of a token: …%s…", segment[:8])
				}
			}
		})
	}
}

func (a *audited) runAuditCases(t *testing.T) {
	const api = "/api/v0/sdk/" + environmentID
	var session, elevated string
	var inline, external request
	who := func(more map[string]any) map[string]any {
		all := fields(map[string]any{"user": "some", "external_id": "alice", "session": "some"})
		for name, value := range more {
			if all[name] = value; value == nil {
				delete(all, name)
			}
		}
		return all
	}
	anybody := func(code, method, path string) map[string]any {
		return fields(map[string]any{"msg": "refused", "decision": "refusal", "code": code, "method": method, "path": path, "reason": "some"})
	}
	for _, c := range []struct {
		name string
		do   func()
		want []map[string]any
	}{
		{"a sign-in", func() { session = a.signIn("alice") }, []map[string]any{
			who(map[string]any{"msg": "granted", "decision": "exchange", "method": "POST", "path": api + "/externalAuth/signin"}),
		}},
		{"a sign-in with a bad JWT", func() {
			a.want(request{method: "POST", path: api + "/externalAuth/signin", body: `{"jwt":"` + a.external("alice", map[string]any{"exp": 1}) + `"}`}, 422, "invalid_external_auth")
		}, []map[string]any{anybody("expired", "POST", api+"/externalAuth/signin")}},
		{"a session token", func() {
			for range 3 {
				a.want(request{path: "/wallets/1", bearer: session}, 200, "")
			}
		}, nil},
		{"a refresh", func() {
			a.secret(a.want(request{method: "POST", path: api + "/refresh", bearer: session}, 200, "").body["minifiedJwt"].(string))
		}, []map[string]any{
			who(map[string]any{"msg": "granted", "decision": "exchange", "method": "POST", "path": api + "/refresh"}),
		}},
		{"an external JWT on a request", func() {
			external = request{path: "/wallets/1?secret=x", bearer: a.external("alice", map[string]any{"nonce": 1})}
			a.want(external, 200, "")
		}, []map[string]any{
			who(map[string]any{"msg": "granted", "decision": "exchange", "method": "GET", "path": "/wallets/1"}),
		}},
		{"an elevation", func() { elevated = a.elevate(session, "alice", "wallet:sign other") }, []map[string]any{
			who(map[string]any{
				"msg": "granted", "decision": "elevate", "jti": "some", "scopes": []any{"wallet:sign", "other"},
				"method": "POST", "path": api + "/externalAuth/verify",
			}),
		}},
		{"a step-up", func() {
			a.want(request{method: "POST", path: "/wallets/1/sign", bearer: session, elevated: elevated}, 200, "")
		}, []map[string]any{
			who(map[string]any{
				"msg": "granted", "decision": "step_up", "jti": "some", "scopes": []any{"wallet:sign"}, "method": "POST", "path": "/wallets/1/sign",
			}),
		}},
		{"the same elevated token again", func() {
			a.want(request{method: "POST", path: "/wallets/1/sign", bearer: session, elevated: elevated}, 403, "elevated_used")
		}, []map[string]any{
			who(map[string]any{
				"msg": "refused", "decision": "step_up", "code": "elevated_used", "jti": "some", "scopes": []any{"wallet:sign"},
				"method": "POST", "path": "/wallets/1/sign", "reason": "some",
			}),
		}},
		{"no elevated token", func() {
			a.want(request{method: "POST", path: "/wallets/1/sign", bearer: session}, 403, "step_up_required")
		}, []map[string]any{
			who(map[string]any{
				"msg": "refused", "decision": "step_up", "code": "step_up_required", "scopes": []any{"wallet:sign"},
				"method": "POST", "path": "/wallets/1/sign", "reason": "some",
			}),
		}},
		{"an assertion on the request", func() {
			inline = request{method: "POST", path: "/wallets/1/sign", bearer: session, assertion: a.assertion("alice", "wallet:sign")}
			a.want(inline, 200, "")
		}, []map[string]any{
			who(map[string]any{"msg": "granted", "decision": "elevate", "jti": "some", "scopes": []any{"wallet:sign"}, "method": "POST", "path": "/wallets/1/sign"}),
			who(map[string]any{"msg": "granted", "decision": "step_up", "jti": "some", "scopes": []any{"wallet:sign"}, "method": "POST", "path": "/wallets/1/sign"}),
		}},
		{"the same assertion again", func() { a.want(inline, 401, "replayed") }, []map[string]any{
			who(map[string]any{
				"msg": "refused", "decision": "elevate", "code": "replayed", "jti": "some", "scopes": []any{"wallet:sign"},
				"method": "POST", "path": "/wallets/1/sign", "reason": "some",
			}),
			who(map[string]any{
				"msg": "refused", "decision": "step_up", "code": "replayed", "scopes": []any{"wallet:sign"},
				"method": "POST", "path": "/wallets/1/sign", "reason": "some",
			}),
		}},
		{"a login that is too old", func() {
			a.want(request{path: "/fresh", bearer: session}, 401, "reauthentication_required")
		}, []map[string]any{
			who(map[string]any{
				"msg": "refused", "decision": "step_up", "code": "reauthentication_required", "scopes": []any{"wallet:sign"},
				"method": "GET", "path": "/fresh", "reason": "some",
			}),
		}},
		{"report_only, rewritten", func() {
			a.want(request{method: "POST", path: "/trial/%41?x=1", bearer: session}, 200, "")
		}, []map[string]any{
			who(map[string]any{
				"msg": "would have refused, but for report_only", "decision": "step_up", "code": "step_up_required", "scopes": []any{"wallet:export"},
				"method": "POST", "path": "/trial/%41", "reason": "some", "report_only": true,
			}),
		}},
		{"report_only, granted", func() {
			r := request{method: "POST", path: "/trial/B", bearer: session, elevated: a.elevate(session, "alice", "wallet:export")}
			a.want(r, 200, "")
		}, []map[string]any{
			who(map[string]any{
				"msg": "granted", "decision": "elevate", "jti": "some", "scopes": []any{"wallet:export"}, "method": "POST", "path": api + "/externalAuth/verify",
			}),
			who(map[string]any{
				"msg": "granted", "decision": "step_up", "jti": "some", "scopes": []any{"wallet:export"}, "method": "POST", "path": "/trial/B",
			}),
		}},
		{"a route for nobody", func() { a.want(request{path: "/closed", bearer: session}, 403, "route_denied") }, []map[string]any{
			who(map[string]any{"msg": "refused", "decision": "step_up", "code": "route_denied", "method": "GET", "path": "/closed", "reason": "some"}),
		}},
		{"no token", func() { a.want(request{path: "/wallets/1?jwt=x"}, 401, "token_missing") }, []map[string]any{
			anybody("token_missing", "GET", "/wallets/1"),
		}},
		{"no token at an endpoint", func() { a.want(request{method: "POST", path: api + "/refresh"}, 401, "token_missing") }, []map[string]any{
			anybody("token_missing", "POST", api+"/refresh"),
		}},
		{"an expired token", func() {
			a.want(request{path: "/wallets/1", bearer: a.external("alice", map[string]any{"exp": 1})}, 401, "expired")
		}, []map[string]any{anybody("expired", "GET", "/wallets/1")}},
		{"an ambiguous path", func() { a.want(request{path: "/wallets/..%2fclosed", bearer: session}, 400, "ambiguous_path") }, []map[string]any{
			anybody("ambiguous_path", "GET", "/wallets/..%2fclosed"),
		}},
		{"an ambiguous path of an endpoint", func() {
			a.want(request{method: "POST", path: api + "/x/..%2frefresh"}, 400, "ambiguous_path")
		}, []map[string]any{anybody("ambiguous_path", "POST", api+"/x/..%2frefresh")}},
		{"a page of another origin", func() {
			a.want(request{
				method: "POST", path: "/wallets/1/sign", cookie: "app_session=" + external.bearer,
				header: http.Header{"Sec-Fetch-Site": {"cross-site"}},
			}, 403, "cross_origin")
		}, []map[string]any{anybody("cross_origin", "POST", "/wallets/1/sign")}},
		{"a client behind a proxy", func() {
			a.want(request{path: "/wallets/1", header: http.Header{"X-Forwarded-For": {"203.0.113.9"}}}, 401, "token_missing")
		}, []map[string]any{
			fields(map[string]any{
				"msg": "refused", "decision": "refusal", "code": "token_missing", "client_ip": "203.0.113.9",
				"method": "GET", "path": "/wallets/1", "reason": "some",
			}),
		}},
		{"a revocation", func() { a.want(request{method: "POST", path: api + "/revoke", bearer: session}, 204, "") }, []map[string]any{
			who(map[string]any{"msg": "done", "decision": "revoke", "method": "POST", "path": api + "/revoke"}),
		}},
		{"a revoked session", func() { a.want(request{path: "/wallets/1", bearer: session}, 401, "session_revoked") }, []map[string]any{
			who(anybody("session_revoked", "GET", "/wallets/1")),
		}},
		{"a CORS preflight", func() {
			a.do(request{method: "OPTIONS", path: "/wallets/1", header: http.Header{
				"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"POST"},
			}})
		}, nil},
	} {
		if got := a.told(c.do); !slices.EqualFunc(got, c.want, func(x, y map[string]any) bool { return reflect.DeepEqual(x, y) }) {
			t.Errorf("%s:\n got %v\nwant %v", c.name, got, c.want)
		}
	}
	a.quietWhenRemembered(external)
}

// quietWhenRemembered holds that a remembered external JWT is no line. The memory takes it up in its own time.
func (a *audited) quietWhenRemembered(r request) {
	a.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if len(a.told(func() { a.want(r, 200, "") })) == 0 {
			return
		}
	}
	a.t.Error("each request with the same JWT is another line")
}

// A failure of the config is a refusal like any other, though nobody knows of which environment.
func TestAuditLogOfARefusalWithoutEnvironment(t *testing.T) {
	a := newAudited(t, "json")
	a.load(plainEnvironment, "step_up admin\n\treverse_proxy {{upstream}}")
	got := a.told(func() { a.want(request{path: "/x"}, 500, "internal_error") })
	want := fields(map[string]any{
		"level": "warn", "msg": "refused", "decision": "refusal", "code": "internal_error", "environment": nil,
		"method": "GET", "path": "/x", "reason": "some",
	})
	if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %v\nwant one line %v", got, want)
	}
}

// Two handlers that refuse for the same reason, one of them on trial, are two decisions.
func TestAuditLogOfATrialBeforeARefusal(t *testing.T) {
	a := newAudited(t, "json")
	a.load(plainEnvironment, `byoa {
		optional
	}
	step_up /x admin {
		report_only
	}
	step_up * admin
	reverse_proxy {{upstream}}`)
	got := a.told(func() { a.want(request{path: "/x"}, 401, "token_missing") })
	var trials []any
	for _, line := range got {
		trials = append(trials, line["report_only"])
	}
	if !reflect.DeepEqual(trials, []any{true, nil}) {
		t.Errorf("got %v\nwant one line that is marked report_only and one that is not", got)
	}
}

// The logs of a gateway without a log of its own for the audit hold the lines too.
func TestAuditLogIsInTheDefaultLog(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	g.want(request{path: "/wallets/1"}, 401, "token_missing")
	found := 0
	for _, line := range linesOf(t, g.logFile) {
		if line["logger"] == "byoa.audit" && line["code"] == "token_missing" {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d lines, want 1", found)
	}
}

// Whoever could write the address under which they are known would put somebody else's into the audit log.
func TestAuditLogNamesNoAddressThatTheClientMadeUp(t *testing.T) {
	for trusted, want := range map[string]string{"192.0.2.1/32": "127.0.0.1", "127.0.0.1/32": "203.0.113.9"} {
		t.Run("trusting "+trusted, func(t *testing.T) {
			a := newAudited(t, "json")
			a.options = strings.Replace(a.options, "127.0.0.1/32", trusted, 1)
			a.load(plainEnvironment, plainSite)
			got := a.told(func() {
				a.want(request{path: "/wallets/1", header: http.Header{
					"X-Forwarded-For": {"203.0.113.9"}, "X-Real-Ip": {"198.51.100.7"}, "X-Client-Ip": {"198.51.100.7"}, "Forwarded": {"for=198.51.100.7"},
				}}, 401, "token_missing")
			})
			if len(got) != 1 || got[0]["client_ip"] != want {
				t.Errorf("got %v, want one line with %s", got, want)
			}
		})
	}
}
