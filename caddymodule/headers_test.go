package caddymodule

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// spellings are the ways to write a header name that some server takes for it.
func spellings(name string) []string {
	var all []string
	for _, separators := range []string{"-", "_", "."} {
		s := strings.ReplaceAll(name, "-", separators)
		all = append(all, s, strings.ToLower(s), strings.ToUpper(s), http.CanonicalHeaderKey(s))
	}
	mixed := strings.Replace(strings.Replace(name, "-", "_", 1), "-", ".", 1)
	return append(all, mixed, strings.ToLower(mixed))
}

func TestManagedHeaderCannotBeForgedInAnySpelling(t *testing.T) {
	names := []string{"Authorization", "X-User-Email", "X-Internal.Org_Id"}
	m := newManaged(names...)
	always := []string{
		"X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL",
		"X-Dyn-Elevated-Access-Token", "X-Step-Up-Assertion",
	}
	for _, name := range slices.Concat(names, always) {
		for _, spelling := range spellings(name) {
			h := http.Header{spelling: {"forged", "twice"}, "X-User-Emails": {"kept"}, "X-User": {"kept"}, "Accept": {"kept"}}
			m.strip(h)
			if len(h) != 3 {
				t.Errorf("%s: got %v, want the three others alone", spelling, h)
			}
		}
	}
}

func TestHeaderIsManagedOnlyWhereItIsConfigured(t *testing.T) {
	h := http.Header{"X-User-Email": {"a"}, "Authorization": {"Basic b"}}
	newManaged("X-Other").strip(h)
	if len(h) != 2 {
		t.Errorf("got %v, want nothing stripped", h)
	}
}

func TestFoldingOfTheRequestPathAgreesWithThatOfTheConfig(t *testing.T) {
	for _, name := range []string{"X-User_Email.x", "ABCXYZ", "a!#$%&'*+^`|~0z", ""} {
		if got, want := string(appendFolded(nil, name)), foldName(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
		if !sameName(name, foldName(name)) || sameName(name, name+"x") || sameName(name+"a", name+"b") {
			t.Errorf("%q: sameName disagrees", name)
		}
	}
}

func TestStrippingNothingAllocatesNothing(t *testing.T) {
	m := newManaged("Authorization", "X-User-Email")
	h := http.Header{
		"Accept": {"*/*"}, "User-Agent": {"x"}, "X-Other-Header": {"y"}, "Connection": {"keep-alive, Upgrade"},
		"Cookie": {"a=1; b=2"},
	}
	got := testing.AllocsPerRun(100, func() {
		m.strip(h)
		cleanConnection(h)
		dropCookies(h, "session_jwt", "__Host-byoa")
	})
	if got > 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}

// Nobody has signed in when the Referer is read: as many lines as a request can have cost no more
// than to read each. They were copied for each.
func TestManyReferersAreCopiedOnce(t *testing.T) {
	lines := slices.Repeat([]string{"https://app.example.com/?tok=x", "https://app.example.com/?a=b"}, 5_000)
	given := slices.Clone(lines)
	h := http.Header{"Referer": given}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	dropReferrerQuery(h, []string{"tok"})
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 10<<20 {
		t.Errorf("%d lines took %d bytes", len(lines), took)
	}
	if got := h["Referer"]; len(got) != len(lines) || got[0] != "https://app.example.com/" || got[1] != lines[1] {
		t.Errorf("the first two of %d are %q", len(got), got[:2])
	}
	if !slices.Equal(given, lines) {
		t.Error("the lines themselves were changed, which the log of the request may hold")
	}
}

// A proxy deletes what Connection names: a client could so have the gateway's own headers removed.
func TestConnectionCannotDeleteInjectedHeaders(t *testing.T) {
	for _, c := range []struct{ lines, want []string }{
		{[]string{"close, Authorization, x-user-id"}, []string{"close"}},
		{[]string{"authorization"}, nil},
		{[]string{"keep-alive", "x-user-id,Upgrade"}, []string{"keep-alive, Upgrade"}},
		{[]string{" X-User-Id ,\tTE , ,"}, []string{"TE"}},
		{[]string{"Keep-Alive, Upgrade"}, []string{"Keep-Alive, Upgrade"}},
		{[]string{"close", "TE"}, []string{"close", "TE"}},
		{[]string{"closed"}, nil},
		{[]string{""}, nil},
		{nil, nil},
	} {
		h := http.Header{"X-User-Id": {"1"}}
		if c.lines != nil {
			h["Connection"] = slices.Clone(c.lines)
		}
		cleanConnection(h)
		if got := h["Connection"]; !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.lines, got, c.want)
		}
	}
}

// After an upgrade to h2c the connection carries requests that the gateway never sees.
func TestUpgradeToAnotherHTTPIsNotPassedOn(t *testing.T) {
	for _, c := range []struct {
		upgrade []string
		passes  bool
	}{
		{[]string{"h2c"}, false},
		{[]string{"H2C"}, false},
		{[]string{"websocket, h2c"}, false},
		{[]string{"websocket", "h2c"}, false},
		{[]string{"HTTP/2.0"}, false},
		{[]string{"TLS/1.2"}, false},
		{[]string{"websocket"}, true},
		{[]string{"WebSocket"}, true},
		{[]string{"connect-ip"}, true},
	} {
		h := http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": c.upgrade, "Http2-Settings": {"AAMAAABk"}}
		cleanConnection(h)
		if _, passes := h["Upgrade"]; passes != c.passes {
			t.Errorf("%q: passed on is %v, want %v", c.upgrade, passes, c.passes)
		}
		if _, there := h["Http2-Settings"]; there && !c.passes {
			t.Errorf("%q: HTTP2-Settings is still there", c.upgrade)
		}
		if got := h.Get("Connection"); got != "Upgrade" {
			t.Errorf("%q: Connection is %q, want Upgrade", c.upgrade, got)
		}
	}
}

// proxied sends a raw request through strip and stripTrailers to Caddy's reverse_proxy, and
// returns the headers and trailers that the upstream got.
func proxied(t *testing.T, m *managed, request string) (header, trailer http.Header) {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		header, trailer = r.Header, r.Trailer
	}))
	defer upstream.Close()

	ctx, err := caddy.ProvisionContext(new(caddy.Config))
	if err != nil {
		t.Fatal(err)
	}
	proxy := &reverseproxy.Handler{Upstreams: reverseproxy.UpstreamPool{{Dial: upstream.Listener.Addr().String()}}}
	if err := proxy.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	defer proxy.Cleanup()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
		m.strip(r.Header)
		m.stripTrailers(r)
		if err := proxy.ServeHTTP(w, r, nil); err != nil {
			t.Errorf("proxying: %v", err)
		}
	}))
	defer front.Close()

	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, strings.ReplaceAll(request, "\n", "\r\n"))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("status %d, want 200", res.StatusCode)
	}
	return header, trailer
}

// What is stripped from the headers could come back after the body: as a trailer that was
// announced, or as one that was not, beside one that was.
func TestManagedHeaderCannotArriveAsATrailer(t *testing.T) {
	const chunks = "\n\n2\nhi\n0\n"
	for _, c := range []struct{ name, announced, sent string }{
		{"announced", "Trailer: X-User-Email, X-Checksum", "X-User-Email: evil\nX-Checksum: 1"},
		{"announced in another spelling", "Trailer: x_user.email, X-Checksum", "x_user.email: evil\nX-Checksum: 1"},
		{"beside an announced one", "Trailer: X-Checksum", "X-Checksum: 1\nx-user-email: evil\nX_User_Email: evil"},
		{"not announced at all", "X-Nothing: 1", "X-User-Email: evil\nX-Checksum: 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			request := "POST / HTTP/1.1\nHost: a\nConnection: close\nTransfer-Encoding: chunked\n" + c.announced + chunks + c.sent + "\n\n"
			header, trailer := proxied(t, newManaged("X-User-Email"), request)
			for name := range trailer {
				if sameName(name, "X-User-Email") {
					t.Errorf("the upstream got the trailer %s: %q", name, trailer[name])
				}
			}
			if strings.HasPrefix(c.announced, "Trailer") && trailer.Get("X-Checksum") != "1" {
				t.Errorf("trailers are %v, want the other one passed on", trailer)
			}
			if _, there := header["X-User-Email"]; there {
				t.Errorf("headers are %v", header)
			}
		})
	}
	t.Run("control: without the guard it arrives", func(t *testing.T) {
		request := "POST / HTTP/1.1\nHost: a\nConnection: close\nTransfer-Encoding: chunked\nTrailer: X-Checksum" +
			chunks + "X-Checksum: 1\nX-User-Email: evil\n\n"
		if _, trailer := proxied(t, newManaged(), request); trailer.Get("X-User-Email") != "evil" {
			t.Errorf("trailers are %v; if servers no longer merge what was not announced, the guard can go", trailer)
		}
	})
}

func TestBodyWithoutTrailersIsLeftAlone(t *testing.T) {
	body := io.NopCloser(strings.NewReader("hi"))
	r := &http.Request{Body: body, ContentLength: 2}
	newManaged().stripTrailers(r)
	if r.Body != body {
		t.Error("a body of known length was wrapped")
	}
	r = &http.Request{Body: body, ContentLength: 2, Trailer: http.Header{"X-Checksum": nil}}
	newManaged().stripTrailers(r)
	if r.Body == body {
		t.Error("a body with trailers was not wrapped")
	}
	r = &http.Request{}
	newManaged().stripTrailers(r)
	if r.Body != nil {
		t.Error("a request without a body got one")
	}
}

func TestOtherCookiesStayByteForByte(t *testing.T) {
	for _, c := range []struct{ lines, want []string }{
		{[]string{"jwt=x"}, nil},
		{[]string{"jwt=x;"}, nil},
		{[]string{" jwt = x ; "}, nil},
		{[]string{"jwt"}, nil},
		{[]string{"jwt="}, nil},
		{[]string{`jwt="a b"`}, nil},
		{[]string{"a=1; jwt=x; b=2"}, []string{"a=1; b=2"}},
		{[]string{"jwt=x; a=1"}, []string{"a=1"}},
		{[]string{"a=1; jwt=x"}, []string{"a=1"}},
		{[]string{"a=1;jwt=x;b=2"}, []string{"a=1;b=2"}},
		{[]string{"jwt=x; jwt=y; a=1; jwt=z"}, []string{"a=1"}},
		{[]string{"a=1; __Host-s=x; b=2; jwt=y"}, []string{"a=1; b=2"}},
		{[]string{"jwt=x", "a=1"}, []string{"a=1"}},
		{[]string{"a=1", "jwt=x", "b=2; jwt=y"}, []string{"a=1", "b=2"}},
		{[]string{`a="1 2", 3;  b=\"; c= d ;e; =f; jwt=x;; g=ä`}, []string{`a="1 2", 3;  b=\"; c= d ;e; =f;; g=ä`}},

		{[]string{"JWT=x; jwt2=y; jw=z; xjwt=1"}, []string{"JWT=x; jwt2=y; jw=z; xjwt=1"}},
		{[]string{"a=jwt=x; b=jwt"}, []string{"a=jwt=x; b=jwt"}},
		{[]string{"=jwt; a=1;; "}, []string{"=jwt; a=1;; "}},
		{nil, nil},
	} {
		h, before := http.Header{}, slices.Clone(c.lines)
		if c.lines != nil {
			h["Cookie"] = c.lines
		}
		dropCookies(h, "jwt", "", "__Host-s")
		got, there := h["Cookie"]
		if !slices.Equal(got, c.want) || there != (c.want != nil) {
			t.Errorf("%q: got %q, want %q", before, got, c.want)
		}
		if !slices.Equal(c.lines, before) {
			t.Errorf("%q: the slice of the caller became %q", before, c.lines)
		}
	}
}

func TestOtherQueryParametersStayByteForByte(t *testing.T) {
	for query, want := range map[string]string{
		"token=x":                    "",
		"token":                      "",
		"a=1&token=x&b=2":            "a=1&b=2",
		"token=x&a=1":                "a=1",
		"a=1&token=x":                "a=1",
		"to%6ben=x&a=%2F+":           "a=%2F+",
		"%74%6F%6B%65%6E=x":          "",
		"token=x&token=y":            "",
		"a=1;token=x&b=2":            "a=1&b=2",
		"a=1&token=x;b=2":            "a=1;b=2",
		"&a=1&&token=x&":             "&a=1&&",
		"Token=x&tokens=y&xtoken=z":  "Token=x&tokens=y&xtoken=z",
		"a=token=x&b=%zz&%zz=1&c=%3": "a=token=x&b=%zz&%zz=1&c=%3",
		"":                           "",
	} {
		u := requestURL(t, "/p?"+query)
		dropQuery(u, "token")
		if u.RawQuery != want || u.Path != "/p" {
			t.Errorf("%q: got %q, want %q", query, u.RawQuery, want)
		}
	}
	u := requestURL(t, "/?=x&a=1")
	dropQuery(u, "")
	if u.RawQuery != "=x&a=1" {
		t.Errorf("no parameter: got %q", u.RawQuery)
	}
}

func TestStripKeepsValuesOfOthers(t *testing.T) {
	h := http.Header{"A": {"1", "2"}, "X-User-Email": {"x"}, "B": {""}}
	want := http.Header{"A": {"1", "2"}, "B": {""}}
	newManaged("x-user-email").strip(h)
	if !maps.EqualFunc(h, want, slices.Equal) {
		t.Errorf("got %v, want %v", h, want)
	}
}
