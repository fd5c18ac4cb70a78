package caddymodule

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// A credentialCase is a request for an environment that reads the Authorization header (unless
// header says otherwise), the cookies jwt and __Host-s, and the query parameter token.
type credentialCase struct {
	name    string
	header  string // the configured one
	request string // header lines, and "?query"
	want    credential
	code    verifier.Code
}

// requestOf makes a request of header lines as a server would have parsed them; a line that
// begins with '?' is the query.
func requestOf(lines string) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, "http://example.com/p", nil)
	for line := range strings.SplitSeq(lines, "\n") {
		if query, isQuery := strings.CutPrefix(line, "?"); isQuery {
			r.URL.RawQuery = query
		} else if name, value, found := strings.Cut(line, ":"); found {
			r.Header.Add(name, strings.TrimSpace(value))
		}
	}
	return r
}

func TestCredentialIsTakenFromTheFirstPlaceThatHasOne(t *testing.T) {
	for _, c := range []credentialCase{
		{name: "none", request: "Accept: */*"},
		{name: "header", request: "Authorization: Bearer a.b.c", want: credential{token: "a.b.c", place: inHeader}},
		{name: "scheme in another case", request: "Authorization: bEARER a.b.c", want: credential{token: "a.b.c", place: inHeader}},
		{name: "several spaces", request: "Authorization: Bearer   a.b.c ", want: credential{token: "a.b.c", place: inHeader}},
		{name: "external cookie", request: "Cookie: x=1; jwt=a", want: credential{token: "a", place: inExternalCookie}},
		{name: "session cookie", request: "Cookie: __Host-s=s", want: credential{token: "s", place: inSessionCookie}},
		{name: "quoted cookie", request: `Cookie: jwt="a"`, want: credential{token: "a", place: inExternalCookie}},
		{name: "cookie with spaces about it", request: "Cookie: x=1 ;\t jwt =  a ", want: credential{token: "a", place: inExternalCookie}},
		{name: "cookie on the second line", request: "Cookie: x=1\nCookie: jwt=a", want: credential{token: "a", place: inExternalCookie}},
		{name: "query", request: "?x=1&token=a", want: credential{token: "a", place: inQuery}},
		{name: "query, encoded name", request: "?to%6Ben=a%2eb", want: credential{token: "a.b", place: inQuery}},

		{
			name: "header before cookies and query", request: "Authorization: Bearer a\nCookie: jwt=b; __Host-s=c\n?token=d",
			want: credential{token: "a", place: inHeader},
		},
		{name: "cookie before query", request: "Cookie: __Host-s=c\n?token=d", want: credential{token: "c", place: inSessionCookie}},
		{
			name: "external cookie before session cookie", request: "Cookie: __Host-s=s; jwt=a",
			want: credential{token: "a", place: inExternalCookie, session: "s"},
		},
		{
			name: "twice in places that do not decide", request: "Authorization: Bearer a\nCookie: jwt=b; jwt=c\n?token=d&token=e",
			want: credential{token: "a", place: inHeader},
		},

		{name: "another scheme", request: "Authorization: Basic YTpi"},
		{name: "another scheme beside a cookie", request: "Authorization: Basic YTpi\nCookie: jwt=a", want: credential{token: "a", place: inExternalCookie}},
		{name: "another scheme with parameters", request: `Authorization: Digest username="Bearer", uri="/"`},
		{name: "a scheme that begins like ours", request: "Authorization: BearerToken a"},
		{name: "empty header", request: "Authorization:"},
		{name: "cleared cookie", request: "Cookie: jwt=; __Host-s=\"\""},
		{name: "cleared cookie beside a session", request: "Cookie: jwt=; __Host-s=s", want: credential{token: "s", place: inSessionCookie}},
		{name: "empty parameter", request: "?token="},
		{name: "cookie name in another case", request: "Cookie: JWT=a; __host-s=s"},
		{name: "parameter in another case", request: "?Token=a"},
		{name: "the name of the cookie elsewhere", request: "Cookie: next=jwt; my_jwt=1; u=/cb?jwt=1"},
		{name: "header in another spelling", header: "X-Api-Token", request: "X_Api_Token: a\nX.Api.Token: b\nAuthorization: Bearer c"},

		{name: "custom header, bare", header: "x-api-token", request: "X-Api-Token: a.b.c", want: credential{token: "a.b.c", place: inHeader}},
		{name: "custom header, Bearer", header: "X-Api-Token", request: "X-Api-Token: bearer a.b.c", want: credential{token: "a.b.c", place: inHeader}},

		{name: "two Authorization lines", request: "Authorization: Bearer a\nAuthorization: Bearer b", code: gateway.CodeBadRequest},
		{name: "the same line twice", request: "Authorization: Bearer a\nAuthorization: Bearer a", code: gateway.CodeBadRequest},
		{name: "two lines, two schemes", request: "Authorization: Basic YTpi\nAuthorization: Bearer b", code: gateway.CodeBadRequest},
		{name: "list of two", request: "Authorization: Bearer a, Bearer b", code: gateway.CodeBadRequest},
		{name: "list of two without a space", request: "Authorization: Bearer a,Bearer b", code: gateway.CodeBadRequest},
		{name: "list that begins with another scheme", request: "Authorization: Basic YTpi, Bearer b", code: gateway.CodeBadRequest},
		{name: "two tokens", request: "Authorization: Bearer a b", code: gateway.CodeBadRequest},
		{name: "tab after the scheme", request: "Authorization: Bearer\ta", code: gateway.CodeBadRequest},
		{name: "comma after the scheme", request: "Authorization: Bearer,a", code: gateway.CodeBadRequest},
		{name: "empty Bearer", request: "Authorization: Bearer", code: gateway.CodeBadRequest},
		{name: "empty Bearer beside a cookie", request: "Authorization: Bearer \nCookie: jwt=a", code: gateway.CodeBadRequest},
		{name: "custom header twice", header: "X-Api-Token", request: "X-Api-Token: a\nX-Api-Token: b", code: gateway.CodeBadRequest},
		{name: "custom header, list", header: "X-Api-Token", request: "X-Api-Token: a,b", code: gateway.CodeBadRequest},
		{name: "custom header, empty Bearer", header: "X-Api-Token", request: "X-Api-Token: Bearer", code: gateway.CodeBadRequest},
		{name: "custom header, another scheme", header: "X-Api-Token", request: "X-Api-Token: Basic YTpi", code: gateway.CodeBadRequest},

		{name: "cookie twice", request: "Cookie: jwt=a; jwt=b", code: gateway.CodeBadRequest},
		{name: "cookie twice, once empty", request: "Cookie: jwt=a; jwt=", code: gateway.CodeBadRequest},
		{name: "cookie twice, once without a value", request: "Cookie: jwt; jwt=a", code: gateway.CodeBadRequest},
		{name: "cookie on two lines", request: "Cookie: jwt=a\nCookie: jwt=a", code: gateway.CodeBadRequest},
		{name: "session cookie twice beside the external one", request: "Cookie: jwt=a; __Host-s=b; __Host-s=c", code: gateway.CodeBadRequest},
		{name: "cookie behind a comma", request: "Cookie: x=1, jwt=a", code: gateway.CodeBadRequest},
		{name: "cookie behind a space", request: "Cookie: jwt=a; x=1 jwt=b", code: gateway.CodeBadRequest},
		{name: "cookie behind a no-break space", request: "Cookie: x=1;\u00a0jwt=b", code: gateway.CodeBadRequest},
		{name: "cookie name in quotes", request: `Cookie: "jwt"=b`, code: gateway.CodeBadRequest},
		{name: "hidden cookie where the header decides", request: "Authorization: Bearer a\nCookie: x=1 jwt=b", code: gateway.CodeBadRequest},

		{name: "parameter twice", request: "?token=a&token=b", code: gateway.CodeBadRequest},
		{name: "parameter twice, once encoded", request: "?token=a&%74oken=b", code: gateway.CodeBadRequest},
		{name: "parameter before a semicolon", request: "?token=a;x=1", code: gateway.CodeBadRequest},
		{name: "parameter behind a semicolon", request: "?x=1;token=a", code: gateway.CodeBadRequest},
		{name: "parameter with a wrong escape", request: "?token=%zz", code: gateway.CodeBadRequest},
	} {
		t.Run(c.name, c.run)
	}
}

func (c credentialCase) run(t *testing.T) {
	got, err := newSources(c.header, "jwt", "__Host-s", "token").take(requestOf(c.request))
	if code := gateway.CodeOf(err); code != c.code || (err != nil) != (c.code != "") {
		t.Fatalf("got error %v, want code %q", err, c.code)
	}
	if got != c.want {
		t.Errorf("got %+v, want %+v", got, c.want)
	}
}

func TestPlacesThatAreNotConfiguredAreNotRead(t *testing.T) {
	got, err := newSources("", "", "", "").take(requestOf("Cookie: jwt=a; =b; c\n?token=d&=e"))
	if err != nil || got != (credential{}) {
		t.Errorf("got %+v, %v, want nothing", got, err)
	}
}

func TestErrorsOfCredentialsNameThePlaceAndNeverTheToken(t *testing.T) {
	for request, place := range map[string]string{
		"Authorization: Bearer s3cr3t, Bearer s3cr3t": "Authorization",
		"Cookie: jwt=s3cr3t; jwt=s3cr3t":              "jwt",
		"Cookie: x=1 jwt=s3cr3t":                      "jwt",
		"?token=s3cr3t&token=s3cr3t":                  "token",
		"?token=s3cr3t%zz":                            "token",
	} {
		_, err := newSources("", "jwt", "", "token").take(requestOf(request))
		if err == nil || !strings.Contains(err.Error(), place) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: got %v, want an error that names %s and not the token", request, err, place)
		}
	}
}

func TestCredentialsAreTakenOutOfTheRequest(t *testing.T) {
	const all = "Authorization: Bearer a\nCookie: x=1; jwt=b; __Host-s=c; y=2\n?x=1&token=d"
	for _, c := range []struct {
		name, header, request string
		keep                  place
		want                  string
	}{
		{"all of them", "", all, nowhere, "Cookie: x=1; y=2\n?x=1"},
		{"all but the header", "", all, inHeader, "Authorization: Bearer a\nCookie: x=1; y=2\n?x=1"},
		{"all but the cookie", "", all, inExternalCookie, "Cookie: x=1; jwt=b; y=2\n?x=1"},
		{"all but the query", "", all, inQuery, "Cookie: x=1; y=2\n?x=1&token=d"},
		{"never the session cookie", "", all, inSessionCookie, "Cookie: x=1; y=2\n?x=1"},
		{"another scheme stays", "", "Authorization: Basic YTpi", nowhere, "Authorization: Basic YTpi"},
		{"a custom header goes whatever it holds", "X-Api-Token", "X-Api-Token: Basic YTpi\nAuthorization: Bearer a", nowhere, "Authorization: Bearer a"},
		{"so do its other spellings", "X-Api-Token", "X_api_token: a\nX.Api.Token: b\nX-Api_Token: c\nX-Api-Tokens: d", nowhere, "X-Api-Tokens: d"},
		{"even where it is kept", "X-Api-Token", "X-Api-Token: a\nX_Api_Token: b", inHeader, "X-Api-Token: a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, want := requestOf(c.request), requestOf(c.want)
			newSources(c.header, "jwt", "__Host-s", "token").remove(got, c.keep)
			if got.URL.RawQuery != want.URL.RawQuery {
				t.Errorf("query: got %q, want %q", got.URL.RawQuery, want.URL.RawQuery)
			}
			if !sameHeaders(got.Header, want.Header) {
				t.Errorf("headers: got %v, want %v", got.Header, want.Header)
			}
		})
	}
}

// The SDKs write the session token into a cookie of theirs where the gateway sets none.
func TestTheCookieInWhichTheSDKsKeepTheSessionIsNotTheUpstreams(t *testing.T) {
	const brought = "Cookie: x=1; DYNAMIC_JWT_TOKEN=a; jwt=b"
	for _, c := range []struct {
		name, external, session string
		keep                    place
		want                    string
	}{
		{"with an external cookie", "jwt", "", nowhere, "Cookie: x=1"},
		{"with one that is kept", "jwt", "", inExternalCookie, "Cookie: x=1; jwt=b"},
		{"with a cookie of the gateway's, they write none", "jwt", "__Host-s", nowhere, "Cookie: x=1; DYNAMIC_JWT_TOKEN=a"},
		{"without cookies, they write none", "", "", nowhere, brought},
		{"where it is the external cookie, and kept", "DYNAMIC_JWT_TOKEN", "", inExternalCookie, brought},
		{"where it is the external cookie", "DYNAMIC_JWT_TOKEN", "", nowhere, "Cookie: x=1; jwt=b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, want := requestOf(brought), requestOf(c.want)
			newSources("", c.external, c.session, "").remove(got, c.keep)
			if !sameHeaders(got.Header, want.Header) {
				t.Errorf("headers: got %v, want %v", got.Header, want.Header)
			}
		})
	}
}

func sameHeaders(a, b http.Header) bool {
	var x, y strings.Builder
	a.Write(&x) // sorted
	b.Write(&y)
	return x.String() == y.String()
}

func TestProofIsReadFromItsOwnHeadersAlone(t *testing.T) {
	for _, c := range []struct {
		name, request string
		want          gateway.Proof
		code          verifier.Code
	}{
		{name: "none", request: "Accept: */*"},
		{name: "elevated token", request: "x-dyn-elevated-access-token: a", want: gateway.Proof{Elevated: "a"}},
		{name: "assertion", request: "X-Step-Up-Assertion:  b ", want: gateway.Proof{Assertion: "b"}},
		{name: "both", request: "X-Dyn-Elevated-Access-Token: a\nX-Step-Up-Assertion: b", want: gateway.Proof{Elevated: "a", Assertion: "b"}},
		{name: "other spellings", request: "X_Dyn_Elevated_Access_Token: a\nX.Step.Up.Assertion: b"},
		{name: "elevated token twice", request: "X-Dyn-Elevated-Access-Token: a\nX-Dyn-Elevated-Access-Token: a", code: gateway.CodeBadRequest},
		{name: "assertion twice", request: "X-Step-Up-Assertion: a\nX-Step-Up-Assertion: b", code: gateway.CodeBadRequest},
		{name: "list", request: "X-Step-Up-Assertion: a,b", code: gateway.CodeBadRequest},
		{name: "two tokens", request: "X-Step-Up-Assertion: Bearer b", code: gateway.CodeBadRequest},
		{name: "empty", request: "X-Dyn-Elevated-Access-Token:", code: gateway.CodeBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := takeProof(requestOf(c.request).Header)
			if code := gateway.CodeOf(err); code != c.code || got != c.want {
				t.Errorf("got %+v, error %v, want %+v, code %q", got, err, c.want, c.code)
			}
		})
	}
}

func TestOnlyCookiesCountAsBroughtByTheBrowser(t *testing.T) {
	for p, want := range map[place]bool{nowhere: false, inHeader: false, inExternalCookie: true, inSessionCookie: true, inQuery: false} {
		if p.isCookie() != want {
			t.Errorf("place %d: got %v, want %v", p, !want, want)
		}
	}
}
