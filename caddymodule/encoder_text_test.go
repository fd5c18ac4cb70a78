package caddymodule

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestWithoutCookies(t *testing.T) {
	names := newHiddenNames().with(hidden{cookies: []string{"session_jwt", "__Host-byoa"}})
	for _, c := range []struct{ name, line, want string }{
		{"other cookies only", `a=1; b="x y",;  c`, `a=1; b="x y",;  c`},
		{"only", "session_jwt=T", ""},
		{"first", "session_jwt=T; a=1; b=2", "a=1; b=2"},
		{"between", "a=1; session_jwt=T; b=2", "a=1; b=2"},
		{"last", "a=1; session_jwt=T", "a=1"},
		{"twice", "session_jwt=T; a=1; session_jwt=T", "a=1"},
		{"both", "__Host-byoa=T; session_jwt=T", ""},
		{"odd spaces of others are kept", "a=1;  b=2 ;session_jwt=T;c=3", "a=1;  b=2 ;c=3"},
		{"without a space", "a=1;session_jwt=T", "a=1"},
		{"spaces and tabs around the name", "a=1; \tsession_jwt =T", "a=1"},
		{"another case", "a=1; Session_JWT=T", "a=1"},
		{"quoted value of another", `a="; session_jwt=T; "; b=2`, `a="; "; b=2`},
		{"lines joined by a comma", "a=1, session_jwt=T; b=2", "a=1; b=2"},
		{"empty pairs", ";a=1;;session_jwt=T", ";a=1;"},
		{"a name that only begins alike", "session_jwt2=x; xsession_jwt=y", "session_jwt2=x; xsession_jwt=y"},
		{"a value that looks like it", "a=session_jwt=x", "a=session_jwt=x"},
		{"redacted by Caddy", "REDACTED", "REDACTED"},
		{"empty", "", ""},
		{"hidden in another one", "theme=dark session_jwt=T; a=1", ""},
		{"with a quoted name", `a=1; "session_jwt"=T`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := names.withoutCookies(c.line); got != c.want {
				t.Errorf("%q: got %q, want %q", c.line, got, c.want)
			}
		})
	}
}

func TestWithoutQuery(t *testing.T) {
	names := newHiddenNames().with(hidden{query: []string{"token", "access_token", "SCHLÜSSEL"}})
	for _, c := range []struct{ name, text, want string }{
		{"none", "/a?b=1&c=2#d", "/a?b=1&c=2#d"},
		{"only", "/a?token=T", "/a"},
		{"first", "/a?token=T&b=1", "/a?b=1"},
		{"between", "/a?b=1&token=T&c=2", "/a?b=1&c=2"},
		{"last", "/a?b=1&token=T", "/a?b=1"},
		{"twice", "/a?token=T&token=T", "/a"},
		{"twice with another between", "/a?token=T&b=1&access_token=T", "/a?b=1"},
		{"before a fragment", "/a?token=T#f", "/a#f"},
		{"in a fragment", "/a#token=T", "/a"},
		{"empty value", "/a?token=&b=1", "/a?b=1"},
		{"no value", "/a?token&b=1", "/a?token&b=1"},
		{"another case", "/a?Token=T", "/a"},
		{"encoded name", "/a?%74ok%65n=T&b=1", "/a?b=1"},
		{"name that is not ASCII", "/a?schl%C3%9Cssel=T&b=1", "/a?b=1"},
		{"encoded value", "/a?token=%54%26b=1&c=2", "/a?c=2"},
		{"after a semicolon", "/a?b=1;token=T", "/a?b=1"},
		{"before a semicolon", "/a?token=T;b=1", "/a"},
		{"query alone", "token=T&b=1", "b=1"},
		{"URL in another, encoded", "/login?next=%2Fws%3Ftoken%3DT%26b%3D1&c=2", "/login?next=%2Fws%3Fb%3D1&c=2"},
		{"URL in another, encoded, last", "/login?next=%2Fws%3Ftoken%3DT&c=2", "/login?next=%2Fws&c=2"},
		{"URL in another, encoded twice", "/x?y=%2Flogin%253Ftoken%253DT%2526b%253D1", "/x?y=%2Flogin%253Fb%253D1"},
		{"parameter with an encoded equals sign", "/a?token%3DT&b=1", "/a?b=1"},
		{"quoted in a message", `Get "http://up/a?token=T": refused`, `Get "http://up/a": refused`},
		{"in the middle of a message", "to /a?token=T from here", "to /a from here"},
		{"quoted value", `/a?token="T"&b=1`, `/a"&b=1`},
		{"in quoted JSON", `{"u":"{\"uri\":\"/a?token=T\"}"}`, `{"u":"{\"uri\":\"/a\"}"}`},
		{"a name that only begins alike", "/a?tokens=x&xtoken=y&token.x=z", "/a?tokens=x&xtoken=y&token.x=z"},
		{"broken encoding", "/a?%=1&%zz=2&token%=3&%", "/a?%=1&%zz=2&token%=3&%"},
		{"broken encoding in the value", "/a?token=T%zz%2&b=1", "/a?b=1"},
		{"no query", "token", "token"},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := names.withoutQuery(c.text); got != c.want {
				t.Errorf("%q: got %q, want %q", c.text, got, c.want)
			}
		})
	}
}

func TestRuleFor(t *testing.T) {
	long := "X-Long-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789"
	names := newHiddenNames().with(hidden{headers: []string{"X-Session.Token", long, ""}})
	for name, want := range map[string]fieldRule{
		"X-Session-Token": ruleDelete, "x_session_token": ruleDelete, "X.SESSION-TOKEN": ruleDelete, "HTTP_X_SESSION_TOKEN": ruleDelete,
		long: ruleDelete, long + "0": ruleNone,
		"X-Session": ruleNone, "X-Session-Token-2": ruleNone, "": ruleNone, "http-": ruleNone,
		"cookie": ruleCookie, "HTTP_COOKIE": ruleCookie, "Set-Cookie": ruleSetCookie,
	} {
		if got := names.ruleFor(name); got != want {
			t.Errorf("%q: got rule %d, want %d", name, got, want)
		}
	}
}

// What a server would read as the parameter must be gone, and nothing that it would read as another.
func FuzzWithoutQuery(f *testing.F) {
	names := newHiddenNames().with(hidden{query: []string{"token"}})
	for _, seed := range []string{
		"token=T&b=1", "a=%26&%74oken=T", "a;token=T&b", "=&token=%zz&%", "a=%3Ftoken%3DT&token=T", "a=\"&token='T'", "token&token=T=&+token=T",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if strings.ContainsAny(query, "#") {
			return // ends the query for the server
		}
		got := names.withoutQuery("/ws?" + query)
		_, kept, _ := strings.Cut(got, "?")
		values, _ := url.ParseQuery(kept)
		for name, value := range values {
			if strings.EqualFold(name, "token") && isASCII(name) && slices.ContainsFunc(value, func(v string) bool { return v != "" }) {
				t.Errorf("%q became %q, which still has the parameter", query, got)
			}
		}
		if again := names.withoutQuery(got); again != got {
			t.Errorf("%q became %q, and then %q", query, got, again)
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) < 0
}

// What a server reads as the cookie must be gone, and all others be as they were;
// unless one hides in the line, of which nothing may be left then.
func FuzzWithoutCookies(f *testing.F) {
	names := newHiddenNames().with(hidden{cookies: []string{"session_jwt"}})
	for _, seed := range []string{"a=1; session_jwt=T; b=2", "session_jwt=T", ";; session_jwt =T;a", `a="x;session_jwt=T;y"`, "a=1,session_jwt=T", "0 session_jwt=;0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got := names.withoutCookies(line)
		if names.hideIn(line) {
			if got != "" {
				t.Errorf("%q became %q, though the cookie hides in it", line, got)
			}
			return
		}
		want := slices.DeleteFunc(cookiesOf(line), func(c string) bool { return strings.EqualFold(c[:strings.Index(c, "=")], "session_jwt") })
		if !strings.Contains(line, ",") && !slices.Equal(cookiesOf(got), want) {
			t.Errorf("%q became %q: got %q, want %q", line, got, cookiesOf(got), want)
		}
		for _, c := range cookiesOf(got) {
			if strings.HasPrefix(c, "session_jwt=") {
				t.Errorf("%q became %q, which still has the cookie", line, got)
			}
		}
	})
}

// cookiesOf reads a Cookie line as net/http does.
func cookiesOf(line string) []string {
	var read []string
	for _, c := range (&http.Request{Header: http.Header{"Cookie": {line}}}).Cookies() {
		read = append(read, c.Name+"="+c.Value)
	}
	return read
}
