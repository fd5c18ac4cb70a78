package caddymodule

import (
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// requestURL reads a request target as the server does.
func requestURL(t testing.TB, target string) *url.URL {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatalf("the server would refuse %q itself: %v", target, err)
	}
	return u
}

func pathClassesOf(t testing.TB, names string) pathClass {
	t.Helper()
	set, err := parsePathClasses(strings.Fields(names))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

type pathCase struct {
	target  string
	classes string // all that it belongs to: each must be allowed
}

// An upstream may take each of these for another path than the gateway does, and serve a
// route that was never decided on.
var ambiguousPaths = []pathCase{
	{"/admin%2fx", "encoded_slash"},
	{"/admin%2Fx", "encoded_slash"},
	{"/public/..%2fadmin", "encoded_slash dot_segment"},
	{"/public%2f%2e%2e%2fadmin", "encoded_slash dot_segment"},
	{"/%2fadmin", "encoded_slash"},

	{"/admin%252fx", "double_encoding"},
	{"/admin%252Fx", "double_encoding"},
	{"/admin%25252fx", "double_encoding"},
	{"/admin%2525252525252fx", "double_encoding NEVER"},
	{"/admin%25%32%66x", "double_encoding"},
	{"/admin%2%35%32fx", "BROKEN"},
	{"/admin%255cx", "double_encoding"},
	{"/public/%252e%252e/admin", "double_encoding dot_segment"},
	{"/public/%25252e%25252e/admin", "double_encoding dot_segment"},
	{"/public%252f..%252fadmin", "double_encoding dot_segment"},
	{"/%2561dmin", "double_encoding"},
	{"/admin%2500", "double_encoding NEVER"},
	{"/%25c0%25af", "double_encoding NEVER"},

	{"/public/../admin", "dot_segment"},
	{"/./admin", "dot_segment"},
	{"/admin/.", "dot_segment"},
	{"/admin/..", "dot_segment"},
	{"/public/%2e%2e/admin", "dot_segment"},
	{"/public/.%2e/admin", "dot_segment"},
	{"/public/%2E./admin", "dot_segment"},
	{"/%2e/admin", "dot_segment"},
	{"/public/..;/admin", "dot_segment semicolon"},
	{"/public/..;a=b/admin", "dot_segment semicolon"},
	{"/public/..%3b/admin", "dot_segment semicolon"},
	{"/public/%2e%2e;/admin", "dot_segment semicolon"},
	{"/public/.;/admin", "dot_segment semicolon"},
	{"/public/..%20/admin", "dot_segment trailing_dot"},
	{"/public/%20../admin", "dot_segment trailing_dot"},
	{"/public/.%20;x/admin", "dot_segment semicolon trailing_dot"},

	{"//admin", "empty_segment"},
	{"/public//admin", "empty_segment"},
	{"/admin//", "empty_segment"},
	{"///", "empty_segment"},

	{"/admin;a=b", "semicolon"},
	{"/admin;/x", "semicolon"},
	{"/;/admin", "semicolon"},
	{"/admin%3ba=b", "semicolon"},
	{"/admin%3Bx", "semicolon"},

	{`/public\..\admin`, "backslash dot_segment"},
	{`/admin\x`, "backslash"},
	{"/admin%5cx", "backslash"},
	{"/admin%5Cx", "backslash"},
	{"/public/..%5cadmin", "backslash dot_segment"},

	{"/admin.", "trailing_dot"},
	{"/admin./x", "trailing_dot"},
	{"/admin%2e", "trailing_dot"},
	{"/admin%20", "trailing_dot"},
	{"/admin%20/x", "trailing_dot"},
	{"/admin.%20.", "trailing_dot"},
	{"/...", "trailing_dot"},
	{"/public/.../admin", "trailing_dot"},
	{"/%20", "trailing_dot"},
	{"/admin.;x", "trailing_dot semicolon"},
	{"/admin;x.", "trailing_dot semicolon"},

	{"/admin%00", "NEVER"},
	{"/admin%00.jpg", "NEVER"},
	{"/admin%0a", "NEVER"},
	{"/admin%0d%0aX:1", "NEVER"},
	{"/admin%09", "NEVER"},
	{"/admin%1f", "NEVER"},
	{"/admin%7f", "NEVER"},
	{"/admin%c2%85", "NEVER"}, // NEL, a line end to some
	{"/public/..%c0%af..%c0%afadmin", "NEVER"},
	{"/public%e0%80%afadmin", "NEVER"},
	{"/public/%c0%ae%c0%ae/admin", "NEVER"},
	{"/caf%e9", "NEVER"},
	{"/%ed%a0%80", "NEVER"}, // a lone surrogate
}

const allClasses = "encoded_slash double_encoding dot_segment empty_segment semicolon backslash trailing_dot"

func TestPathThatAnUpstreamMayReadDifferentlyIsRefused(t *testing.T) {
	for _, c := range ambiguousPaths {
		t.Run(c.target, c.run)
	}
}

func (c pathCase) run(t *testing.T) {
	if c.classes == "BROKEN" {
		if _, err := url.ParseRequestURI(c.target); err == nil {
			t.Error("the server lets a wrong escape through; it must be refused here")
		}
		return
	}
	u := requestURL(t, c.target)
	if got := gateway.CodeOf(checkPath(u, 0)); got != gateway.CodeAmbiguousPath {
		t.Errorf("with nothing allowed: got code %q, want %q", got, gateway.CodeAmbiguousPath)
	}
	classes, never := strings.CutSuffix(c.classes, "NEVER")
	if never {
		if why := ambiguity(u, pathClassesOf(t, allClasses)); why == "" {
			t.Error("with every class allowed: let through, want refused whatever is allowed")
		}
		return
	}
	if why := ambiguity(u, pathClassesOf(t, classes)); why != "" {
		t.Errorf("with %q allowed: refused as %s, want let through", classes, why)
	}
	for _, needed := range strings.Fields(classes) {
		others := strings.Replace(allClasses, needed, "", 1)
		if why := ambiguity(u, pathClassesOf(t, others)); why != needed {
			t.Errorf("with all but %s allowed: refused as %q, want %q", needed, why, needed)
		}
	}
}

func TestOrdinaryPathsPass(t *testing.T) {
	for _, target := range []string{
		"/", "/admin", "/admin/", "/a.b", "/.well-known/jwks.json", "/a..b", "/..a", "/.a", "/v1.2/x",
		"/a%20b", "/%61dmin", "/100%25", "/100%25%20cotton", "/50%25zz", "/caf%C3%A9", "/café", "/a:b@c", "/a+b=c&d,e!$'()*",
		"/a%3fb", "/a%23b", "/[x]", "/{x}", `/"x"`, "/a%2eb", "/wallets/1/export?next=/../x;%2f%00", "*", "/~me/-_",
		"http://example.com", "http://example.com/admin",
	} {
		u := requestURL(t, target)
		if err := checkPath(u, 0); err != nil {
			t.Errorf("%s: %v, want let through", target, err)
		}
	}
}

// "GET x:admin" parses as a URL without a path, and is forwarded as "GET admin".
func TestPathHiddenInAnOpaqueURLIsRefused(t *testing.T) {
	u := requestURL(t, "x:admin/../y")
	if u.Path != "" || u.RequestURI() != "admin/../y" {
		t.Fatalf("the URL has path %q and is sent as %q; the attack is another one", u.Path, u.RequestURI())
	}
	if why := ambiguity(u, pathClassesOf(t, allClasses)); why != pathIsRelative {
		t.Errorf("opaque URL: got %q, want %q", why, pathIsRelative)
	}
	if why := ambiguity(requestURL(t, "x:/admin/y"), 0); why != "" {
		t.Errorf("the same with a path: refused as %s, want let through", why)
	}
}

// A rewrite may leave what no request could bring, and RawPath where it no longer fits.
func TestPathIsJudgedAsItIsSentOn(t *testing.T) {
	for _, c := range []struct {
		name string
		u    url.URL
		want string
	}{
		{"decoded once too often by a rewrite", url.URL{Path: "/admin%2fx"}, "double_encoding"},
		{"newline", url.URL{Path: "/admin\n"}, pathIsControl},
		{"no slash at the start", url.URL{Path: "admin"}, pathIsRelative},
		{"raw path that does not belong to the path", url.URL{Path: "/public", RawPath: "/public/%2e%2e/admin"}, "dot_segment"},
		{"raw path with a wrong escape", url.URL{Path: "/public", RawPath: "/public/%zz"}, pathIsBroken},
		{"raw path that does", url.URL{Path: `/a"b`, RawPath: `/a"b`}, ""},
		{"stale raw path without harm", url.URL{Path: "/public", RawPath: "/api/public"}, ""},
	} {
		if got := ambiguity(&c.u, 0); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestUnknownPathClassIsAnError(t *testing.T) {
	for _, name := range []string{"", "control", "control_character", "Encoded_Slash", "encoded_slash "} {
		if _, err := parsePathClasses([]string{"semicolon", name}); err == nil || !strings.Contains(err.Error(), "encoded_slash") {
			t.Errorf("class %q: got error %v, want one that names those that are known", name, err)
		}
	}
	if got := pathClassesOf(t, allClasses); got != 1<<len(pathClassNames)-1 {
		t.Errorf("all classes: got %b", got)
	}
}

func TestRefusalOfAPathNamesTheClassAndNotThePath(t *testing.T) {
	err := checkPath(requestURL(t, "/reset/s3cr3t;x"), 0)
	if err == nil || !strings.Contains(err.Error(), "semicolon") || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("got %v, want an error that names the class and does not repeat the path", err)
	}
}
