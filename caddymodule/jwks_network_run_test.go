package caddymodule_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// troubled is one of many providers, and what its server answers.
type troubled struct {
	name      string
	discovery bool // its server is asked for metadata first, and metadata says what is answered
	serve     func(p *provider) http.HandlerFunc
	mention   string // in the log; empty: its tokens are good
}

// provider is a troubled one with a key and a name.
type provider struct {
	troubled
	key  *verifiertest.Key
	url  string // of the JWKS, and the issuer
	jwks []byte
}

// front answers for all providers, each by its path.
type front struct {
	*httptest.Server
	mux   *http.ServeMux
	asked chan struct{} // one for each time that the slow provider was
}

func newFront(t *testing.T) *front {
	f := &front{mux: http.NewServeMux(), asked: make(chan struct{}, 100)}
	f.Server = httptest.NewServer(f.mux)
	t.Cleanup(func() {
		f.CloseClientConnections() // the slow provider never answers
		f.Close()
	})
	return f
}

func (f *front) add(t *testing.T, c troubled) *provider {
	p := &provider{troubled: c, key: verifiertest.NewKey(t, "ES256"), url: f.URL + "/" + strings.ReplaceAll(c.name, " ", "-")}
	p.jwks = verifiertest.JWKS(t, p.key.JWK())
	at := strings.TrimPrefix(p.url, f.URL)
	if c.discovery {
		f.mux.HandleFunc(at+"/.well-known/openid-configuration", c.serve(p))
		f.mux.HandleFunc(at+"/keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(p.jwks) })
		return p
	}
	f.mux.HandleFunc(at, c.serve(p))
	f.mux.HandleFunc(at+"/moved", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(p.jwks) })
	return p
}

// lines are the provider in the Caddyfile.
func (p *provider) lines() string {
	keys := "jwks_url " + p.url
	if p.discovery {
		keys = "discovery on"
	}
	return "provider " + p.url + " {\n" + keys + "\naudience " + audience + "\n}"
}

func (p *provider) token(g *running) string {
	return g.secret(p.key.Token(nil, map[string]any{"iss": p.url, "sub": "alice", "aud": audience, "exp": 20_000_000_000}))
}

// slow never answers, and says each time that it was asked.
func (f *front) slow() troubled {
	return troubled{name: "slow", mention: "deadline exceeded", serve: func(*provider) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			f.asked <- struct{}{}
			<-r.Context().Done()
		}
	}}
}

// troubles are all others, and between them what is none.
func troubles(t *testing.T, elsewhere string) []troubled {
	send := func(body func(p *provider) []byte) func(*provider) http.HandlerFunc {
		return func(p *provider) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body(p)) }
		}
	}
	redirect := func(to func(p *provider) string) func(*provider) http.HandlerFunc {
		return func(p *provider) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to(p), http.StatusFound) }
		}
	}
	metadata := func(format string) func(*provider) http.HandlerFunc {
		return send(func(p *provider) []byte { return []byte(strings.ReplaceAll(format, "SELF", p.url)) })
	}
	return []troubled{
		{name: "well", serve: send(func(p *provider) []byte { return p.jwks })},
		{name: "redirects to another host", mention: "redirected to another host", serve: redirect(func(*provider) string { return elsewhere })},
		{name: "redirects within its host", serve: redirect(func(p *provider) string { return p.url + "/moved" })},
		{name: "too large", mention: "larger than 1048576 bytes", serve: send(func(p *provider) []byte { return slices.Concat(p.jwks, bytes.Repeat([]byte(" "), 1<<20)) })},
		{name: "101 keys", mention: "101 keys, more than 100", serve: send(func(p *provider) []byte { return jwksOf(t, p.key, 101) })},
		{name: "100 keys", serve: send(func(p *provider) []byte { return jwksOf(t, p.key, 100) })},
		{name: "a page for people", mention: "not a JSON object", serve: send(func(*provider) []byte { return []byte("<html>") })},
		{name: "out of order", mention: "status is 503", serve: func(*provider) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
		}},
		{name: "discovered", discovery: true, serve: metadata(`{"issuer": "SELF", "jwks_uri": "SELF/keys"}`)},
		{name: "metadata of another", discovery: true, mention: "the metadata is of the issuer", serve: metadata(`{"issuer": "SELF/", "jwks_uri": "SELF/keys"}`)},
		{name: "metadata to plain http", discovery: true, mention: "is http, so anybody on the way", serve: metadata(`{"issuer": "SELF", "jwks_uri": "http://keys.example/"}`)},
	}
}

// Every login system of an environment may have its own trouble. The operator reads which
// one has what, and the users of the others notice nothing.
func TestOneProvidersTroubleIsItsOwn(t *testing.T) {
	g, f := prepare(t), newFront(t)
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(elsewhere.Close)
	slow := f.add(t, f.slow())
	lines := []string{"jwks_url " + g.issuer.JWKSURL(), slow.lines()}
	var others []*provider
	for _, c := range troubles(t, elsewhere.URL) {
		p := f.add(t, c)
		others, lines = append(others, p), append(lines, p.lines())
	}
	begun := time.Now()
	g.load(g.keysBy(lines...), plainSite)

	token, answer := slow.token(g), make(chan string, 1)
	go func() { answer <- g.codeOf(token) }()
	<-f.asked
	g.want(request{path: "/wallets/1", bearer: others[0].token(g)}, 200, "")
	select {
	case got := <-answer:
		if time.Since(begun) < fetchTimeout { // else this machine is too slow to say
			t.Errorf("the token of the slow provider did not wait for its keys: %s", got)
		}
		answer <- got
	default:
	}
	for _, p := range others {
		status, code := 200, ""
		if p.mention != "" {
			status, code = 503, "keys_unavailable"
			g.waitUntilLogged(p.url, p.mention)
		}
		g.want(request{path: "/wallets/" + path.Base(p.url), bearer: p.token(g)}, status, code)
	}
	if got := <-answer; got != "keys_unavailable" {
		t.Errorf("the token of the slow provider: %s, want keys_unavailable", got)
	}
	g.waitUntilLogged(slow.url, slow.mention)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
}

// jwksOf is a set of as many keys, the first of which is key.
func jwksOf(t *testing.T, key *verifiertest.Key, count int) []byte {
	t.Helper()
	set := []map[string]any{key.JWK()}
	for len(set) < count {
		more := key.JWK()
		more["kid"] = fmt.Sprint("more-", len(set))
		set = append(set, more)
	}
	return verifiertest.JWKS(t, set...)
}

// secureIssuer serves the keys of issuer over TLS, at 127.0.0.1 and for who asks for
// example.com, and returns the file of the authority that vouches for it.
func secureIssuer(t *testing.T, issuer *verifiertest.Issuer) (server *httptest.Server, ca string) {
	t.Helper()
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
			_, _ = fmt.Fprintf(w, `{"issuer": "https://%s", "jwks_uri": "https://%[1]s/keys"}`, r.Host)
			return
		}
		_, _ = w.Write(issuer.JWKS())
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, writePEM(t, server.Certificate().Raw)
}

func writePEM(t *testing.T, certificate []byte) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pemOf(t, "CERTIFICATE", certificate, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// strangeAuthority is an authority that has vouched for nobody.
func strangeAuthority(t *testing.T) []byte {
	t.Helper()
	key := verifiertest.NewKey(t, "ES256").Private()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// Who can put a certificate of their own before the issuer must not choose its keys. What
// was fetched under one authority is not believed under another, either.
func TestCertificateOfTheIssuer(t *testing.T) {
	g := prepare(t)
	server, ca := secureIssuer(t, g.issuer)
	alice := request{path: "/wallets/1", bearer: g.external("alice")}
	known := []string{"jwks_url " + server.URL + "/keys", "tls_ca " + ca}

	g.load(g.keysBy(known[0]), plainSite)
	g.want(alice, 503, "keys_unavailable")
	g.waitUntilLogged(g.issuer.URL(), "certificate signed by unknown authority")
	g.load(g.keysBy(known...), plainSite)
	g.want(alice, 200, "")
	g.load(g.keysBy(known[0]), plainSite)
	g.want(alice, 503, "keys_unavailable")
	g.load(g.keysBy(known[0], "tls_ca "+writePEM(t, strangeAuthority(t))), plainSite)
	g.want(alice, 503, "keys_unavailable")
}

// proxy is one for HTTP and HTTPS (RFC 9110 section 9.3.6), which leads everywhere to one server.
type proxy struct {
	to    string // host:port that a tunnel leads to
	jwks  []byte // the answer to any plain request
	mu    sync.Mutex
	asked []string // guarded by mu
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.URL.Host)
	p.mu.Unlock()
	if r.Method != http.MethodConnect {
		_, _ = w.Write(p.jwks)
		return
	}
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(server, client) }()
	_, _ = io.Copy(client, server)
}

// news are what it was asked for since the last call.
func (p *proxy) news() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	return asked
}

// In a network without a way out the proxy of the environment is the only way to the
// issuer. Go reads these variables once for a process, and never for loopback: so it is
// the command that is run, for an issuer with a name.
func TestProxyOfTheEnvironment(t *testing.T) {
	issuer := verifiertest.NewIssuer(t, verifiertest.WithIssuer("https://example.com"))
	server, ca := secureIssuer(t, issuer)
	p := &proxy{to: server.Listener.Addr().String(), jwks: issuer.JWKS()}
	proxyServer := httptest.NewServer(p)
	t.Cleanup(proxyServer.Close)
	token := issuer.Token(map[string]any{"aud": audience})
	for _, c := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{"http", []string{"jwks_url http://issuer.example/keys", "insecure_http"}, []string{"GET issuer.example"}},
		{"https", []string{"jwks_url https://example.com/keys", "tls_ca " + ca}, []string{"CONNECT example.com:443"}},
		{"discovery", []string{"discovery on", "tls_ca " + ca}, []string{"CONNECT example.com:443", "CONNECT example.com:443"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := filepath.Join(t.TempDir(), "Caddyfile")
			text := "{\nbyoa {\nenvironment {\nissuer https://example.com\naudience " + audience + "\n" + strings.Join(c.lines, "\n") + "\n}\n}\n}\n"
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			check := func(noProxy string) (string, error) {
				cmd := exec.CommandContext(t.Context(), "caddy", "byoa", "check", "--config", config, "--adapter", "caddyfile", "-")
				cmd.Stdin = strings.NewReader(token)
				cmd.Env = append(os.Environ(), "HTTP_PROXY="+proxyServer.URL, "HTTPS_PROXY="+proxyServer.URL, "NO_PROXY="+noProxy,
					"http_proxy=", "https_proxy=", "no_proxy=", "XDG_DATA_HOME="+t.TempDir())
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			if out, err := check(""); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if got := p.news(); !slices.Equal(got, c.want) {
				t.Errorf("the proxy was asked for %q, want %q", got, c.want)
			}
			// The control: without the proxy there is no way.
			if out, err := check("*"); err == nil {
				t.Errorf("the keys came without the proxy:\n%s", out)
			}
			if got := p.news(); len(got) != 0 {
				t.Errorf("the proxy was asked for %q, though it is not to be used", got)
			}
		})
	}
}
