package caddymodule

import (
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// parseRule reads a rule as [rule.String] writes it.
func parseRule(t testing.TB, s string) rule {
	t.Helper()
	switch s {
	case "deny":
		return rule{deny: true}
	case "-", "session":
		return rule{}
	}
	scopes, err := verifier.ParseScopes(s)
	if err != nil {
		t.Fatal(err)
	}
	return rule{scopes: scopes}
}

// parseRoutes reads lines of "[METHOD] /pattern rule…".
func parseRoutes(t testing.TB, lines string) []route {
	t.Helper()
	var routes []route
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		var r route
		if !strings.HasPrefix(fields[0], "/") {
			r.method, fields = fields[0], fields[1:]
		}
		r.pattern, r.need = fields[0], parseRule(t, strings.Join(fields[1:], " "))
		routes = append(routes, r)
	}
	return routes
}

func tableOf(t testing.TB, fallback, lines string) *routeTable {
	t.Helper()
	table, err := newRouteTable(parseRoutes(t, lines), parseRule(t, fallback))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

const walletTable = `
	GET  /wallets              -
	GET  /wallets/{id}         wallet:read
	     /wallets/{id}/export  wallet:export audit
	POST /wallets/{id}/sign    wallet:sign
	     /admin/               admin
	GET  /admin/health         -
	     /files/{path...}      file
	     /files/public/        -
	     /a.b                  dotted
	     /exact/{$}            exact
	     /names/{http.request.uri.path.file}/{http.request.host}  named
	     /enc%6Fded/x%2Fy      encoded
	     /caf%C3%A9/straße     unicode
	     /root/deny            deny
	DELETE /jobs/              delete
`

type lookupCase struct{ request, want string }

func (c lookupCase) run(t *testing.T, table *routeTable) {
	t.Helper()
	method, path, _ := strings.Cut(c.request, " ")
	if got := table.lookup(method, path).String(); got != c.want {
		t.Errorf("%s: got %q, want %q", c.request, got, c.want)
	}
}

func TestMostSpecificPatternDecides(t *testing.T) {
	table := tableOf(t, "deny", walletTable)
	for _, c := range []lookupCase{
		{"GET /wallets", "-"},
		{"HEAD /wallets", "-"},
		{"GET /wallets/1", "wallet:read"},
		{"GET /wallets/1/export", "wallet:export audit"},
		{"PATCH /wallets/1/export", "wallet:export audit"},
		{"POST /wallets/1/sign", "wallet:sign"},
		{"GET /admin/health", "-"},
		{"HEAD /admin/health", "-"},
		{"POST /admin/health", "admin"},
		{"GET /admin/users", "admin"},
		{"CONNECT /admin/users", "admin"},
		{"GET /admin/health/x", "admin"},
		{"GET /files/a/b/c", "file"},
		{"GET /files/public/c", "-"},
		{"GET /a.b", "dotted"},
		{"GET /names/x/y", "named"},
		{"GET /root/deny", "deny"},
		{"DELETE /jobs/at/all", "delete"},
		{"DELETE /jobs", "delete"},

		{"POST /wallets", "deny"},
		{"GET /wallets/1/sign", "deny"},
		{"GET /wallets/1/exports", "deny"},
		{"GET /wallets/1/export/x", "deny"},
		{"GET /aXb", "deny"},
		{"GET /names/x", "deny"},
		{"GET /exact/x", "deny"},
		{"GET /", "deny"},
		{"GET ", "deny"},
		{"OPTIONS *", "deny"},
		{"GET wallets", "deny"},
	} {
		c.run(t, table)
	}
}

func TestAnotherSpellingOfARouteNeedsTheSame(t *testing.T) {
	for _, fallback := range []string{"deny", "session"} {
		table := tableOf(t, fallback, walletTable)
		for _, c := range []lookupCase{
			{"GET /Wallets/1/Export", "wallet:export audit"},
			{"GET /wallets/1/export/", "wallet:export audit"},
			{"GET /Wallets/1/EXPORT/", "wallet:export audit"},
			{"GET /wallets/1/%65xport", "wallet:export audit"},
			{"GET /%57allets/1/%45XPORT", "wallet:export audit"},
			{"GET /wallets/a%20b/export", "wallet:export audit"},
			{"GET /wallets/é/export", "wallet:export audit"},
			{"post /wallets/1/sign", "wallet:sign"},
			{"Post /wallets/1/sign/", "wallet:sign"},
			{"get /admin/x", "admin"},
			{"GET /admin", "admin"},
			{"GET /ADMIN/", "admin"},
			{"GET /files", "file"},
			{"GET /files/", "file"},
			{"GET /exact", "exact"},
			{"GET /Exact/", "exact"},
			{"GET /encoded/X%2fY", "encoded"},
			{"GET /caf%C3%89/STRA%C3%9FE", "unicode"},
			{"GET /CAF%c3%a9/STRA%E1%BA%9EE/", "unicode"}, // capital sharp s
			{"GET /admi\u0131n", map[string]string{"deny": "deny", "session": "-"}[fallback]},
			{"GET /adm\u0131n/x", "admin"},                        // dotless i, an I in upper case
			{"GET /wallet\u017f/1/export", "wallet:export audit"}, // long s, an S in upper case
			{"GET /WALLETS", "-"},
		} {
			c.run(t, table)
		}
	}
}

// Where allow_path lets such paths through, they must not lead past the line that the
// upstream will think of.
func TestPathThatCanBeReadAsAnotherRouteNeedsWhatThatOneNeeds(t *testing.T) {
	table := tableOf(t, "session", `
		/public/             -
		/wallets/{id}/export wallet:export
		/admin/              admin
		/secret              secret
		/files/{name}        file
		/report;full         report
		/closed/             deny
	`)
	for _, c := range []lookupCase{
		{"GET //wallets/1/export", "wallet:export"},
		{"GET /wallets//1/export", "wallet:export"},
		{"GET /wallets//export", "wallet:export"},
		{"GET /wallets/1/export//", "wallet:export"},
		{"GET /public/../wallets/1/export", "wallet:export"},
		{"GET /public/%2e%2e/wallets/1/export", "wallet:export"},
		{"GET /./wallets/1/./export", "wallet:export"},
		{"GET /../../admin/x", "admin"},
		{"GET /admin/../public/x", "admin"},
		{"GET /admin/..", "admin"},
		{"GET /public/..%2fadmin/x", "admin"},
		{"GET /public%2f..%2fadmin%2fx", "admin"},
		{"GET /public/%252e%252e/admin/x", "admin"},
		{"GET /public/..;/admin/x", "admin"},
		{"GET /public/..;a=b%2fadmin/x", "admin"},
		{"GET /public/.. /admin/x", "admin"},
		{"GET /public%5c..%5cadmin%5cx", "admin"},
		{`GET /public\..\admin\x`, "admin"},
		{"GET /admin%2fx", "admin"},
		{"GET /admin%252fx", "admin"},
		{"GET /admin;a=b/x", "admin"},
		{"GET /admin;a=b", "admin"},
		{"GET /wallets/1;a=b/export;c", "wallet:export"},
		{"GET /%2561dmin/x", "admin"},
		{"GET /admin./x", "admin"},
		{"GET /secret.", "secret"},
		{"GET /secret%20", "secret"},
		{"GET /secret%20.%20", "secret"},
		{"GET /secret%23/public", "secret"},
		{"GET /secret%3f/public", "secret"},
		{"GET /secret?/public", "secret"},
		{"GET /files/%2f", "file"},
		{"GET /files/a%2fb", "file"},
		{"GET /files/..%2fadmin%2fx", "file admin"},
		{"GET /public/..%2freport;full", "report"},
		{"GET /closed", "deny"},
		{"GET /closed/../secret", "deny"},
		{"GET /public/..%2fclosed%2fx", "deny"},

		{"GET /public/x", "-"},
		{"GET /public/a%2fb", "-"},
		{"GET /public/a;b", "-"},
		{"GET /secrets", "-"},
		{"GET /x/secret", "-"},
	} {
		c.run(t, table)
	}
}

// The other readings of a path add to what it needs: they never stand in for a line that it lacks.
func TestPathThatMatchesOnlyWhenReadOtherwiseIsLeftToTheDefault(t *testing.T) {
	table := tableOf(t, "deny", "/files/{name} -\n/public/ -\n/a/b -")
	for _, c := range []lookupCase{
		{"GET /a%2fb", "deny"},
		{"GET /public%2fx", "deny"},
		{"GET /a;x/b", "deny"},
		{"GET //a//b", "-"}, // cleaned, it is the line's
		{"GET /x/../a/b", "-"},
		{"GET /files/a%2fb", "-"},
	} {
		c.run(t, table)
	}
}

// Redirects and "method not allowed" are answers of the multiplexer that come with a pattern.
func TestRedirectOrMethodNotAllowedIsNoMatch(t *testing.T) {
	table := tableOf(t, "deny", "GET /a -\nGET /tree/{x...} -\nPOST /b/ -")
	for _, c := range []lookupCase{
		{"GET /a", "-"},
		{"POST /a", "deny"},
		{"TRACE /a", "deny"},
		{"GETX /a", "deny"},
		{"GET /tree/x", "-"},
		{"POST /tree", "deny"},
		{"CONNECT /tree", "deny"},
		{"GET /b", "deny"},
		{"POST /b", "-"},
		{"GET /c", "deny"},
	} {
		c.run(t, table)
	}
}

func TestSlashAtTheEndOfAPatternMakesASubtree(t *testing.T) {
	for _, c := range []struct{ lines, request, want string }{
		{"/files/ a", "GET /files", "a"},
		{"/files/ a", "GET /files/x", "a"},
		{"/files a", "GET /files/", "a"},
		{"/files a", "GET /files/x", "deny"},
		{"/files/{$} a", "GET /files", "a"},
		{"/files/{$} a", "GET /files/x", "deny"},
		{"/files a\n/files/ b", "GET /files", "a"},
		{"/files a\n/files/ b", "GET /files/", "a"},
		{"/files a\n/files/ b", "GET /files/x", "b"},
		{"/{$} a\n/ b", "GET /", "a"},
		{"/{$} a\n/ b", "GET /x", "b"},
		{"/{$} a\n/ b", "GET ", "a"},
		{"/ b", "GET ", "b"},
		{"/ b", "OPTIONS *", "deny"},
		{"/{id} a", "GET /", "deny"},
	} {
		lookupCase{c.request, c.want}.run(t, tableOf(t, "deny", c.lines))
	}
}

func TestConflictingPatternsAreAnErrorThatNamesBoth(t *testing.T) {
	for _, c := range []struct{ lines, first, second string }{
		{"/a x\n/a y", "/a", "/a"},
		{"GET /q -\n/a/{x} -\n/{y}/b -", "/a/{x}", "/{y}/b"},
		{"/a/{x} -\n/a/{y} -", "/a/{x}", "/a/{y}"},
		{"/Wallets -\n/wallets x", "/Wallets", "/wallets"},
		{"/a -\n/a/{$} x", "/a", "/a/{$}"},
		{"/a/ -\n/a/{rest...} x", "/a/", "/a/{rest...}"},
		{"/%61 -\n/a x", "/%61", "/a"},
		{"get /a -\nGET /a x", "get /a", "GET /a"},
		{"/a -\nGET /a/ x", "/a", "GET /a/"}, // both match "GET /a", because of the folded slash
	} {
		_, err := newRouteTable(parseRoutes(t, c.lines), rule{deny: true})
		if err == nil || !strings.Contains(err.Error(), `"`+c.first+`"`) || !strings.Contains(err.Error(), `"`+c.second+`"`) {
			t.Errorf("%q: got %v, want an error that names %q and %q", c.lines, err, c.first, c.second)
		}
	}
	tableOf(t, "deny", "/a/{x} -\nGET /a/{y} x\nGET /a/b y\n/b/{z} z\n/a -\nGET /a x\n/a/{x}/ y") // most specific first: no conflict
}

func TestMalformedPatternIsAnErrorThatNamesIt(t *testing.T) {
	for _, r := range []route{
		{pattern: ""},
		{pattern: "a"},
		{pattern: "example.com/a"},
		{pattern: "/a//b"},
		{pattern: "//"},
		{pattern: "/a/../b"},
		{pattern: "/./a"},
		{pattern: "/%2e%2e/a"},
		{pattern: "/a{b}"},
		{pattern: "/{a}b"},
		{pattern: "/{}"},
		{pattern: "/{...}"},
		{pattern: "/{a"},
		{pattern: "/a}"},
		{pattern: "/{{a}}"},
		{pattern: "/{$}/a"},
		{pattern: "/{a...}/b"},
		{pattern: "/a/{b...}/"},
		{pattern: "/%zz"},
		{pattern: "/a b"},
		{pattern: "/a?b"},
		{pattern: "/a#b"},
		{pattern: "/a\x00"},
		{method: "GET POST", pattern: "/a"},
		{method: "*", pattern: "/a"},
		{method: "GÉT", pattern: "/a"},
	} {
		_, err := newRouteTable([]route{{pattern: "/fine"}, r}, rule{})
		if err == nil || !strings.Contains(err.Error(), "pattern ") {
			t.Errorf("%q: got %v, want an error that names the pattern", r, err)
		}
	}
}

func TestRowsAreAsTheyWereWritten(t *testing.T) {
	routes := parseRoutes(t, walletTable)
	table, err := newRouteTable(routes, rule{})
	if err != nil {
		t.Fatal(err)
	}
	got := table.rows()
	if !slices.EqualFunc(got, routes, func(a, b route) bool { return a.String() == b.String() && a.need.String() == b.need.String() }) {
		t.Errorf("got %v, want %v", got, routes)
	}
	got[0].need = rule{deny: true}
	lookupCase{"GET /wallets", "-"}.run(t, table)
}

func TestEmptyTableLeavesEverythingToTheDefault(t *testing.T) {
	lookupCase{"GET /x", "deny"}.run(t, tableOf(t, "deny", ""))
	lookupCase{"GET /x", "-"}.run(t, tableOf(t, "session", ""))
}

// A process can ask for the multiplexer of Go 1.21, to which a wildcard is a word in
// braces: with "default session" every line of the table would be an open door.
func TestTableThatDoesNotFindItsOwnLinesIsAnError(t *testing.T) {
	for setting, want := range map[string]string{"httpmuxgo121=1": "would never match", "": "PASS"} {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMostSpecificPatternDecides$")
		again.Env = append(os.Environ(), "GODEBUG="+setting)
		if out, _ := again.CombinedOutput(); !strings.Contains(string(out), want) {
			t.Errorf("GODEBUG=%s: got\n%s\nwant %q in it", setting, out, want)
		}
	}
}

// What some server takes for the same letter must be one letter to the table.
func TestFoldingAgreesWithEveryWayToIgnoreCase(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		folded := foldRune(r)
		for _, other := range [...]rune{unicode.ToUpper(r), unicode.ToLower(r), unicode.ToTitle(r), unicode.SimpleFold(r), folded} {
			if foldRune(other) != folded {
				t.Errorf("%U and %U are one without letter case, and fold to %U and %U", r, other, folded, foldRune(other))
			}
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	table := tableOf(b, "deny", walletTable)
	for _, path := range []string{"/wallets/7f3b/export", "/Wallets/7f3b/Export/", "/wallets/a%20b/export"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.lookup(http.MethodPost, path)
			}
		})
	}
}
