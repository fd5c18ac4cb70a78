package caddymodule

import "testing"

// `default session` is for the routes nobody thought of. An upstream that takes a method it does
// not know for a GET, or for the only one that it has, serves with it what has a line of its own.
func TestUnknownMethodIsNotLeftToTheDefaultBesideALine(t *testing.T) {
	table := tableOf(t, "session", `
		POST /export wallet:export
		/any         -
		LOCK /locked wallet:lock
	`)
	for _, c := range []struct{ method, path, want string }{
		{"FOO", "/export", "deny"},
		{"foo", "/Export/", "deny"},
		{"TRACE", "/export", "deny"},
		{"CONNECT", "/export", "deny"},
		{"FOO", "/a%2f..%2f..%2fexport", "deny"}, // for an upstream that decodes first
		{"GET", "/locked", "-"},
		{"UNLOCK", "/locked", "deny"},
		{"PUT", "/export", "-"},               // ordinary: the default decides
		{"PUT", "/a%2f..%2f..%2fexport", "-"}, // as there
		{"POST", "/export", "wallet:export"},  // a line of its own
		{"LOCK", "/locked", "wallet:lock"},    // however unusual
		{"FOO", "/any", "-"},                  // a line for any
		{"FOO", "/elsewhere", "-"},            // no line at all
		{"FOO", "/a%2f..%2f..%2felse", "-"},   // nor for the other reading
		{"FOO", "/export/elsewhere", "-"},
	} {
		if got := table.lookup(c.method, c.path).String(); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.path, got, c.want)
		}
	}
	if got := tableOf(t, "deny", "POST /export -").lookup("FOO", "/elsewhere").String(); got != "deny" {
		t.Errorf("default deny: %s", got)
	}
}
