package caddymodule

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

const appOrigin = "https://app.example.com"

func originRequest(method, lines string) *http.Request {
	r := requestOf(lines)
	r.Method, r.Host = method, "api.example.com"
	return r
}

// A page of another origin can make a browser send requests with cookies: it must not
// be able to change anything by them.
func TestCookieOnAnUnsafeRequestOfAnotherOriginIsRefused(t *testing.T) {
	rule, err := newOriginRule([]string{appOrigin})
	if err != nil {
		t.Fatal(err)
	}
	const (
		foreign   = "Sec-Fetch-Site: cross-site\nOrigin: https://evil.example"
		oldBrowse = "Origin: https://evil.example"
		upgrade   = "\nConnection: Upgrade\nUpgrade: websocket"
	)
	for _, c := range []struct {
		name, method, lines string
		refused             bool
	}{
		{"POST of another site", "POST", foreign, true},
		{"POST of another site, old browser", "POST", oldBrowse, true},
		{"POST of a sandboxed page", "POST", "Origin: null", true},
		{"POST of another origin of the same site", "POST", "Sec-Fetch-Site: same-site\nOrigin: https://www.example.com", true},
		{"POST of another port", "POST", "Origin: https://api.example.com:8443", true},
		{"DELETE", "DELETE", foreign, true},
		{"unknown method", "PURGE", foreign, true},
		{"post in lower case", "post", foreign, true},
		{"get in lower case", "get", foreign, true},
		{"Head", "Head", foreign, true},
		{"WebSocket of another site", "GET", foreign + upgrade, true},
		{"WebSocket of another site, old browser", "GET", oldBrowse + upgrade, true},
		{"upgrade of an OPTIONS", "OPTIONS", foreign + upgrade, true},
		{"extended CONNECT", "CONNECT", foreign, true},
		{"an origin like that of cors", "POST", "Origin: " + appOrigin + ".evil.example", true},
		{"an origin of cors over http", "POST", "Sec-Fetch-Site: cross-site\nOrigin: http://app.example.com", true},

		{"GET of another site", "GET", foreign, false},
		{"HEAD", "HEAD", foreign, false},
		{"OPTIONS", "OPTIONS", foreign, false},
		{"POST of the same origin", "POST", "Sec-Fetch-Site: same-origin\nOrigin: https://api.example.com", false},
		{"POST of the same origin, old browser", "POST", "Origin: https://api.example.com", false},
		{"POST of the user", "POST", "Sec-Fetch-Site: none", false},
		{"POST of an origin of cors", "POST", "Sec-Fetch-Site: cross-site\nOrigin: " + appOrigin, false},
		{"POST of an origin of cors, old browser", "POST", "Origin: " + appOrigin, false},
		{"WebSocket of the same origin", "GET", "Sec-Fetch-Site: same-origin\nOrigin: https://api.example.com" + upgrade, false},
		{"WebSocket of an origin of cors", "GET", "Sec-Fetch-Site: cross-site\nOrigin: " + appOrigin + upgrade, false},
		{"POST of no browser", "POST", "Accept: */*", false},
		{"WebSocket of no browser", "GET", "Accept: */*" + upgrade, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := rule.check(originRequest(c.method, c.lines))
			if got := gateway.CodeOf(err); (got == gateway.CodeCrossOrigin) != c.refused || (err != nil) != c.refused {
				t.Errorf("got %v, want refused %v", err, c.refused)
			}
		})
	}
}

func TestOriginThatTrustsEverybodyIsAnError(t *testing.T) {
	for _, origin := range []string{
		"*", "null", "", "https://*.example.com", "https://app.example.com/", "https://app.example.com/x", "app.example.com",
		"https://APP.example.com", "https://u@app.example.com", "https://app.example.com?", "https://app.example.com:443", "https://",
	} {
		if _, err := newOriginRule([]string{appOrigin, origin}); err == nil {
			t.Errorf("origin %q: no error", origin)
		}
	}
	if _, err := newOriginRule([]string{appOrigin, "http://localhost:5173", "capacitor://localhost"}); err != nil {
		t.Errorf("origins as browsers write them: %v", err)
	}
}

func preflightOf(origin, method, headers string) *http.Request {
	r := originRequest("OPTIONS", "Origin: "+origin+"\nAccess-Control-Request-Method: "+method)
	if headers != "" {
		r.Header.Set("Access-Control-Request-Headers", headers)
	}
	return r
}

func TestPreflightOfAnAllowedOriginIsAnswered(t *testing.T) {
	c := newCORSPolicy([]string{"https://other.example", appOrigin})
	for _, test := range []struct {
		name            string
		answer          func(http.ResponseWriter, *http.Request) bool
		method, headers string
		allowed         bool
	}{
		{"route", c.preflightRoute, "POST", "authorization,x-anything", true},
		{"route, method of its own", c.preflightRoute, "PROPFIND", "", true},
		{"route, method in lower case", c.preflightRoute, "patch", "", true},
		{"endpoint", c.preflightEndpoint, "POST", strings.Join(slices.Sorted(slices.Values(endpointHeaders)), ","), true},
		{"endpoint, GET", c.preflightEndpoint, "GET", "authorization,content-type", true},
		{"endpoint, HEAD", c.preflightEndpoint, "HEAD", "authorization", true},
		{"endpoint, method that none has", c.preflightEndpoint, "PROPFIND", "", false},
		{"endpoint, header that none reads", c.preflightEndpoint, "POST", "x-anything", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			if !test.answer(w, preflightOf(appOrigin, test.method, test.headers)) || w.Code != http.StatusNoContent {
				t.Fatalf("status %d, want an answer with 204", w.Code)
			}
			want := http.Header{"Vary": {"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}}
			if test.allowed {
				want.Set("Access-Control-Allow-Origin", appOrigin)
				want.Set("Access-Control-Allow-Credentials", "true")
				want.Set("Access-Control-Allow-Methods", test.method)
				want.Set("Access-Control-Max-Age", "600")
				if test.headers != "" {
					want.Set("Access-Control-Allow-Headers", test.headers)
				}
			}
			if !sameHeaders(w.Header(), want) {
				t.Errorf("got %v, want %v", w.Header(), want)
			}
		})
	}
}

// What is passed on as a preflight is not asked for a token, so nothing else may pass for one.
func TestOnlyPreflightsAreAnsweredOrPassedOn(t *testing.T) {
	var none *corsPolicy
	some := newCORSPolicy([]string{appOrigin})
	upgrade := preflightOf(appOrigin, "GET", "")
	upgrade.Header.Set("Upgrade", "websocket")
	twoOrigins := preflightOf(appOrigin, "GET", "")
	twoOrigins.Header.Add("Origin", "https://evil.example")
	for _, c := range []struct {
		name        string
		policy      *corsPolicy
		r           *http.Request
		isPreflight bool
		answered    bool
	}{
		{"origin of the policy", some, preflightOf(appOrigin, "POST", ""), true, true},
		{"another origin", some, preflightOf("https://evil.example", "POST", ""), true, false},
		{"the origin in another case", some, preflightOf("https://APP.example.com", "POST", ""), true, false},
		{"two origins", some, twoOrigins, true, false},
		{"null", some, preflightOf("null", "POST", ""), true, false},
		{"no policy", none, preflightOf(appOrigin, "POST", ""), true, false},
		{"plain OPTIONS", some, originRequest("OPTIONS", "Origin: "+appOrigin), false, false},
		{"no origin", some, originRequest("OPTIONS", "Access-Control-Request-Method: POST"), false, false},
		{"no method asked for", some, preflightOf(appOrigin, "", ""), false, false},
		{"what is no method", some, preflightOf(appOrigin, "GET POST", ""), false, false},
		{"GET", some, originRequest("GET", "Origin: "+appOrigin+"\nAccess-Control-Request-Method: POST"), false, false},
		{"options in lower case", some, originRequest("options", "Origin: "+appOrigin+"\nAccess-Control-Request-Method: POST"), false, false},
		{"upgrade", some, upgrade, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := isPreflight(c.r); got != c.isPreflight {
				t.Errorf("isPreflight: got %v, want %v", got, c.isPreflight)
			}
			w := httptest.NewRecorder()
			if got := c.policy.preflightRoute(w, c.r); got != c.answered {
				t.Errorf("preflightRoute: answered is %v, want %v", got, c.answered)
			}
			if got := c.policy.preflightEndpoint(w, c.r); got != c.answered {
				t.Errorf("preflightEndpoint: answered is %v, want %v", got, c.answered)
			}
			if !c.answered && len(w.Header()) > 0 {
				t.Errorf("left headers behind: %v", w.Header())
			}
		})
	}
}

// What goes on unasked brings no body; who brings one all the same is asked for a token.
// An answer of the gateway's own does not look at it.
func TestPreflightGoesOnWithoutABody(t *testing.T) {
	some := newCORSPolicy([]string{appOrigin})
	for _, c := range []struct {
		name        string
		length      int64
		passes      bool
		leftUnasked string
	}{
		{"none", 0, true, ""},
		{"of no known length", -1, true, ""},
		{"of a known length", 3, false, "pay"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := preflightOf("https://evil.example", "POST", "")
			r.Body, r.ContentLength, r.Trailer = io.NopCloser(strings.NewReader("pay"[:3*int(c.length&1)])), c.length, http.Header{"X-Late": nil}
			if got := passPreflight(r); got != c.passes {
				t.Errorf("passes: %t, want %t", got, c.passes)
			}
			left, err := io.ReadAll(r.Body)
			if err != nil || string(left) != c.leftUnasked {
				t.Errorf("its body is %q, %v; want %q", left, err, c.leftUnasked)
			}
			if c.length < 0 && (r.ContentLength != 0 || r.Trailer != nil) {
				t.Errorf("length %d, trailers %v; want none", r.ContentLength, r.Trailer)
			}
			r = preflightOf(appOrigin, "POST", "")
			r.ContentLength = c.length
			if !some.preflightRoute(httptest.NewRecorder(), r) || !some.preflightEndpoint(httptest.NewRecorder(), r) {
				t.Error("of an allowed origin, and not answered")
			}
		})
	}
}

// upstreamCORS is what a careless upstream says.
func upstreamCORS(h http.Header) {
	h.Add("Access-Control-Allow-Origin", "*")
	h.Add("Access-Control-Allow-Credentials", "false")
	h.Add("Access-Control-Expose-Headers", "X-Secret")
	h.Add("Vary", "Accept-Encoding")
}

func TestCORSHeadersOfTheGatewayReplaceTheUpstreams(t *testing.T) {
	ways := map[string]func(w http.ResponseWriter){
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) },
		"Write":       func(w http.ResponseWriter) { io.WriteString(w, "hi") },
		"ReadFrom":    func(w http.ResponseWriter) { w.(io.ReaderFrom).ReadFrom(strings.NewReader("hi")) },
		"Flush":       func(w http.ResponseWriter) { http.NewResponseController(w).Flush() },
		"after a hint": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusEarlyHints)
			upstreamCORS(w.Header())
			w.WriteHeader(200)
		},
	}
	for way, send := range ways {
		t.Run(way, func(t *testing.T) {
			got := answered(t, newCORSPolicy([]string{appOrigin}), appOrigin, send)
			want := http.Header{
				"Access-Control-Allow-Origin":      {appOrigin},
				"Access-Control-Allow-Credentials": {"true"},
			}
			if !sameHeaders(corsHeaders(got), want) || !variesByOrigin(got["Vary"]) {
				t.Errorf("allowed origin: got %v, vary %q, want %v", corsHeaders(got), got["Vary"], want)
			}
			if !strings.Contains(strings.Join(got["Vary"], ","), "Accept-Encoding") {
				t.Errorf("vary %q lost what the upstream said", got["Vary"])
			}
			for _, origin := range []string{"https://evil.example", ""} {
				got = answered(t, newCORSPolicy([]string{appOrigin}), origin, send)
				if len(corsHeaders(got)) > 0 || !variesByOrigin(got["Vary"]) {
					t.Errorf("origin %q: got %v, vary %q, want none, and vary by origin", origin, corsHeaders(got), got["Vary"])
				}
			}
			got = answered(t, newCORSPolicy(nil), appOrigin, send)
			if got.Get("Access-Control-Allow-Origin") != "*" || variesByOrigin(got["Vary"]) {
				t.Errorf("no policy: got %v, want the upstream's own", got)
			}
		})
	}
}

// answered returns the headers of an answer that is sent in the given way.
func answered(t *testing.T, c *corsPolicy, origin string, send func(http.ResponseWriter)) http.Header {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = c.wrap(caddyhttp.NewResponseRecorder(w, nil, nil), r)
		upstreamCORS(w.Header())
		send(w)
	}))
	defer s.Close()
	r, err := http.NewRequest(http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.Header
}

func corsHeaders(h http.Header) http.Header {
	found := http.Header{}
	for name, values := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			found[name] = values
		}
	}
	return found
}

// An error of the upstream is answered by the server's error routes, which write past the wrapper.
func TestCORSHeadersAreOnAnswersOfErrorRoutes(t *testing.T) {
	w := httptest.NewRecorder()
	newCORSPolicy([]string{appOrigin}).wrap(w, originRequest("GET", "Origin: "+appOrigin))
	w.WriteHeader(http.StatusBadGateway)
	if got := w.Result().Header.Get("Access-Control-Allow-Origin"); got != appOrigin {
		t.Errorf("got %q, want %q", got, appOrigin)
	}
}

func TestTrailersOfTheUpstreamPassTheCORSWriter(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = newCORSPolicy([]string{appOrigin}).wrap(w, r)
		w.Header().Set("Trailer", "Grpc-Status")
		io.WriteString(w, "hi")
		w.Header().Set("Grpc-Status", "0")
	}))
	defer s.Close()
	res, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("trailers %v, error %v", res.Trailer, err)
	}
}

func TestWebSocketPassesTheCORSWriter(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = newCORSPolicy([]string{appOrigin}).wrap(w, r)
		upstreamCORS(w.Header())
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijacking: %v", err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "frames")
	}))
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nOrigin: "+appOrigin+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header["Access-Control-Allow-Origin"]; res.StatusCode != 101 || !slices.Equal(got, []string{appOrigin}) {
		t.Errorf("status %d, origin %q, want 101 and %s", res.StatusCode, got, appOrigin)
	}
	if rest, err := io.ReadAll(in); err != nil || string(rest) != "frames" {
		t.Errorf("after the upgrade: got %q, %v", rest, err)
	}
}
