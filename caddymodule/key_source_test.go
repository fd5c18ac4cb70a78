package caddymodule

import (
	"os"
	"path/filepath"
	"testing"
)

// One key set can be written in many ways. Taken for two, it would let an assertion for
// one environment serve in the other.
func TestKeySourceDoesNotDependOnItsSpelling(t *testing.T) {
	const url = "https://auth.example.com/.well-known/jwks.json"
	for _, c := range []struct {
		name, other string
		same        bool
	}{
		{"the same", url, true},
		{"scheme in capitals", "HTTPS://auth.example.com/.well-known/jwks.json", true},
		{"host in capitals", "https://Auth.EXAMPLE.com/.well-known/jwks.json", true},
		{"default port", "https://auth.example.com:443/.well-known/jwks.json", true},
		{"empty port", "https://auth.example.com:/.well-known/jwks.json", true},
		{"dot of the root", "https://auth.example.com./.well-known/jwks.json", true},
		{"dot of the root, and a port", "https://auth.example.com.:443/.well-known/jwks.json", true},
		{"needless escapes", "https://auth.example.com/%2ewell-known/%6Awks.json", true},
		{"dot segments", "https://auth.example.com/a/../.well-known/./jwks.json", true},
		{"slash at the end", url + "/", true},
		{"slash twice", "https://auth.example.com//.well-known/jwks.json", true},
		{"query of nothing", url + "?", true},
		{"a full stop of another script", "https://auth。example．com/.well-known/jwks.json", true},
		{"wide letters", "https://ａuth.example.com/.well-known/jwks.json", true},
		{"another port", "https://auth.example.com:444/.well-known/jwks.json", false},
		{"another scheme", "http://auth.example.com/.well-known/jwks.json", false},
		{"the port of another scheme", "http://auth.example.com:443/.well-known/jwks.json", false},
		{"another host", "https://auth.example.org/.well-known/jwks.json", false},
		{"another path", "https://auth.example.com/.well-known/JWKS.json", false},
		{"another query", url + "?tenant=a", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, q := &Provider{JWKSURL: url}, &Provider{JWKSURL: c.other}
			if got := p.sharesKeys(q); got != c.same || q.sharesKeys(p) != c.same {
				t.Errorf("%s and %s count as one: %t, want %t", p.keySource(), q.keySource(), got, c.same)
			}
		})
	}
}

// The same beyond names in ASCII. Nobody on this machine is two hosts.
func TestKeySourceOfHostsWithManyNames(t *testing.T) {
	for _, c := range []struct {
		one, other string
		same       bool
	}{
		{"https://a.example", "https://a.example/", true},
		{"http://[::1]:80/k", "http://[::1]/k", true},
		{"http://127.0.0.1:8080/k", "http://localhost:8080/k", true},
		{"http://127.0.0.1:8080/k", "http://LocalHost.:8080/k", true},
		{"http://127.0.0.1:8080/k", "http://auth.localhost:8080/k", true},
		{"http://127.0.0.1:8080/k", "http://127.0.0.2:8080/k", true},
		{"http://127.0.0.1:8080/k", "http://[::1]:8080/k", true},
		{"http://127.0.0.1:8080/k", "http://[0:0::0:1]:8080/k", true},
		{"http://127.0.0.1:8080/k", "http://[::ffff:127.0.0.1]:8080/k", true},
		{"http://127.0.0.1:8080/k", "http://[::ffff:7f00:1]:8080/k", true},
		{"http://127.0.0.1:8080/k", "http://0.0.0.0:8080/k", true},
		{"http://127.0.0.1:8080/k", "http://[::]:8080/k", true},
		{"http://127.0.0.1:8080/k", "http://127.0.0.1:8081/k", false},
		{"http://127.0.0.1:8080/k", "http://127.0.0.1.example:8080/k", false},
		{"http://127.0.0.1:8080/k", "http://notlocalhost:8080/k", false},
		{"https://192.0.2.1/k", "https://[::ffff:192.0.2.1]/k", true},
		{"https://192.0.2.1/k", "https://192.0.2.2/k", false},
		{"https://[2001:db8::1]/k", "https://[2001:DB8:0:0::1]/k", true},
		{"https://[2001:db8::1]/k", "https://[2001:db8::2]/k", false},
		{"https://bücher.example/k", "https://xn--bcher-kva.example/k", true},
		{"https://BÜCHER.example/k", "https://bu\u0308cher.example./k", true},
		{"https://bücher.example/k", "https://bucher.example/k", false},
		{"https://a_b.example/k", "https://A_B.example/k", true},
		{"https://a_b.example/k", "https://ab.example/k", false},
		{"https://a.example/k?x", "https://a.example/k?x=", true},
		{"https://a.example/k?x=1&y=2", "https://a.example/k?y=%32&x=1", true},
		{"https://a.example/k?x=1", "https://a.example/k?x=2", false},
		{"https://a.example/k?x=1;y", "https://a.example/k?x=2;y", false},
	} {
		p, q := &Provider{JWKSURL: c.one}, &Provider{JWKSURL: c.other}
		if got := p.sharesKeys(q); got != c.same || q.sharesKeys(p) != c.same {
			t.Errorf("%s and %s count as one: %t, want %t", p.keySource(), q.keySource(), got, c.same)
		}
	}
}

// One file under two names is one key set.
func TestKeySourceOfOneFileUnderTwoNames(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"jwks.json", "other.json"} {
		if err := os.WriteFile(in(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{os.Symlink("jwks.json", in("link.json")), os.Symlink(".", in("here")), os.Link(in("jwks.json"), in("hard.json"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, same := range map[string]bool{
		"jwks.json": true, "link.json": true, "here/jwks.json": true, "here/../jwks.json": true, "hard.json": true,
		"other.json": false, "missing.json": false,
	} {
		e := func(issuer, name string) *Environment {
			return environment(t, `{"jwks_url": "", "issuer": "`+issuer+`", "jwks_file": "`+in(name)+`"}`)
		}
		err := loadEnvironments(map[string]*Environment{"a": e("https://a.example", "jwks.json"), "b": e("https://b.example", name)})
		if same {
			wantError(t, err, "environments a and b: ", "both trust one JWKS")
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
