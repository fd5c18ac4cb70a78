package caddymodule

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// A path that is let through means one thing: decoding it once more, or cleaning it, changes nothing.
func FuzzPathThatIsLetThroughMeansOneThing(f *testing.F) {
	for _, c := range ambiguousPaths {
		f.Add(c.target)
	}
	for _, target := range []string{"/", "/a/b/", "/a%20b", "/%61", "/100%25", "/caf%C3%A9", "/.well-known/x", "*", "x:a", "http://a/b", "/a?b=/../c"} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || checkPath(u, 0) != nil {
			return
		}
		decoded, err := url.PathUnescape(u.EscapedPath())
		if err != nil {
			t.Fatalf("%q is let through, and its path %q cannot be decoded", target, u.EscapedPath())
		}
		if again, err := url.PathUnescape(decoded); err == nil && again != decoded {
			t.Errorf("%q decodes to %q, and then to %q", target, decoded, again)
		}
		if again := unescapeLeniently(decoded); again != decoded {
			t.Errorf("%q decodes to %q, and leniently to %q", target, decoded, again)
		}
		if decoded == "" || decoded == "*" {
			return
		}
		trimmed := strings.TrimSuffix(decoded, "/")
		if cleaned := path.Clean(decoded); cleaned != trimmed && cleaned != decoded {
			t.Errorf("%q decodes to %q, and cleaned to %q", target, decoded, cleaned)
		}
		if strings.Count(decoded, "/") != strings.Count(u.EscapedPath(), "/") || strings.ContainsAny(decoded, "\\;\x00\r\n") {
			t.Errorf("%q decodes to %q, which can be split in another way", target, decoded)
		}
	})
}

// Whatever is allowed, judging ends, and what is never lifted is not.
func FuzzPathClassesOnlyLiftWhatTheyName(f *testing.F) {
	for _, c := range ambiguousPaths {
		f.Add(c.target, uint8(0xff))
		f.Add(c.target, uint8(doubleEncoding))
	}
	f.Fuzz(func(t *testing.T, target string, allowed uint8) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		none, some := ambiguity(u, 0), ambiguity(u, pathClass(allowed))
		if none == "" && some != "" {
			t.Errorf("%q: allowing %b refuses it: %s", target, allowed, some)
		}
		if some == "" && strings.ContainsFunc(u.Path, isControl) {
			t.Errorf("%q: control characters are let through with %b", target, allowed)
		}
	})
}

// What is left of the cookies are the others, all of them, in the bytes in which they came.
func FuzzDroppingCookiesLeavesTheOthers(f *testing.F) {
	for _, line := range []string{"jwt=x", "a=1; jwt=x; b=2", `a="1;jwt=x;2"`, "jwt", ";;jwt=;;", " jwt = 1;=;a", "JWT=x; jwt2=y", "a=1\tjwt=2", "jwt=1;jwt=2; a"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		before := &http.Request{Header: http.Header{"Cookie": {line}}}
		after := &http.Request{Header: before.Header.Clone()}
		dropCookies(after.Header, "jwt", "__Host-s")

		var want []string
		for _, c := range before.Cookies() {
			if c.Name != "jwt" && c.Name != "__Host-s" {
				want = append(want, c.Name+"="+c.Value)
			}
		}
		var got []string
		for _, c := range after.Cookies() {
			got = append(got, c.Name+"="+c.Value)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: cookies are %q, want %q", line, got, want)
		}
		for _, kept := range after.Header["Cookie"] {
			if !isSubsequence(strings.Split(kept, ";"), strings.Split(line, ";")) {
				t.Errorf("%q became %q: a piece is not as it came", line, kept)
			}
		}
	})
}

// isSubsequence says whether all pieces are in whole, in their order; the first may
// have lost the spaces before it.
func isSubsequence(pieces, whole []string) bool {
	for i, piece := range pieces {
		at := slices.IndexFunc(whole, func(w string) bool {
			return w == piece || i == 0 && strings.TrimLeft(w, " \t") == piece
		})
		if at < 0 {
			return false
		}
		whole = whole[at+1:]
	}
	return true
}

// No spelling of a managed name survives, and no other header is touched.
func FuzzStripLeavesNoSpelling(f *testing.F) {
	for _, name := range []string{"X-User-Email", "x_user.email", "X-User-Emails", "Authorization", "X.Step_Up-Assertion", "X-Original-URL", "", "x-user-emaıl", "x-user-emaİl"} {
		f.Add(name)
	}
	m := newManaged("Authorization", "X-User-Email")
	names := slices.Concat([]string{"authorization", "x-user-email"}, overrideHeaders, proofHeaders)
	f.Fuzz(func(t *testing.T, name string) {
		for _, spelling := range []string{name, http.CanonicalHeaderKey(name), strings.ToLower(name), strings.ToUpper(name)} {
			h := http.Header{spelling: {"x"}}
			m.strip(h)
			managed := isASCII(spelling) && slices.Contains(names, foldName(spelling)) // others no server takes, and "İ" is no "i" to any
			if managed == (len(h) > 0) {
				t.Errorf("%q: managed is %v, and %d headers are left", spelling, managed, len(h))
			}
		}
	})
}

// A request yields one credential or an error, never half of one; what was
// found is gone when credentials are removed, and nothing is found a second time.
func FuzzCredentialIsFoundOnceAndRemoved(f *testing.F) {
	f.Add("Bearer a", "jwt=b; __Host-s=c", "token=d", true)
	f.Add("Basic a, Bearer b", `x="1; jwt=2"`, "to%6ben=1;token=2", false)
	f.Add("bearer\ta", "x=1, jwt=2", "a=1;token=2&token", true)
	f.Add("", `"jwt"=x; jwt=`, "%74oken=%zz", false)
	f.Fuzz(func(t *testing.T, header, cookies, query string, custom bool) {
		name := "Authorization"
		if custom {
			name = "X-Api-Token"
		}
		s := newSources(name, "jwt", "__Host-s", "token")
		r := &http.Request{
			Header: http.Header{name: {header}, "Cookie": {cookies}},
			URL:    &url.URL{Path: "/", RawQuery: query},
		}
		c, err := s.take(r)
		switch code := gateway.CodeOf(err); {
		case err != nil && (code != gateway.CodeBadRequest || c != credential{}):
			t.Errorf("got %+v with error %v", c, err)
		case (c.token == "") != (c.place == nowhere):
			t.Errorf("got half a credential: %+v", c)
		case c.place == inHeader && strings.ContainsAny(c.token, " ,\t"):
			t.Errorf("got more than one token: %q", c.token)
		}
		if err != nil {
			return
		}
		s.remove(r, nowhere)
		if again, err := s.take(r); err != nil || again != (credential{}) {
			t.Errorf("after removal: got %+v, %v, want nothing", again, err)
		}
		if _, err := r.Cookie("jwt"); err == nil {
			t.Errorf("the upstream still reads the cookie in %q", r.Header["Cookie"])
		}
		if r.URL.Query().Has("token") {
			t.Errorf("the upstream still reads the parameter in %q", r.URL.RawQuery)
		}
	})
}

// All spellings of one path are under one rule.
func FuzzSpellingsOfAPathAreUnderOneRule(f *testing.F) {
	for _, c := range []string{"/wallets/1/export", "/files/a/b", "/caf%C3%A9/stra%C3%9Fe", "/encoded/x%2Fy", "/Admin", "/names/x/y", "/a.b", "/exact", "/"} {
		f.Add(c)
	}
	for _, c := range ambiguousPaths {
		f.Add(c.target)
	}
	open := tableOf(f, "session", walletTable)
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Opaque != "" {
			return
		}
		escaped := u.EscapedPath()
		want := open.lookup("POST", escaped).String()
		if checkPath(u, 0) != nil {
			return // it was only to be looked up without harm
		}
		for _, spelling := range spellingsOfPath(u) {
			if got := open.lookup("post", spelling).String(); got != want {
				t.Errorf("%q needs %q, and as %q it needs %q", escaped, want, spelling, got)
			}
		}
	})
}

func spellingsOfPath(u *url.URL) []string {
	escaped := func(p string) string { return (&url.URL{Path: p}).EscapedPath() }
	var all strings.Builder
	for i := range len(u.Path) {
		if c := u.Path[i]; c == '/' {
			all.WriteByte(c)
		} else {
			writeEscaped(&all, c)
		}
	}
	return []string{
		escaped(strings.ToUpper(u.Path)),
		escaped(strings.ToLower(u.Path)),
		strings.TrimSuffix(u.EscapedPath(), "/"),
		strings.TrimSuffix(u.EscapedPath(), "/") + "/",
		all.String(),
	}
}
