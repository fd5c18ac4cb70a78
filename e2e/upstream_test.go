package e2e_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// numberHeader tells an upstream's record of one request from those of others.
const numberHeader = "X-Test-Number"

// seen is a request as it reached an upstream.
type seen struct {
	method, target string
	header         http.Header
	body           string
}

// named returns the values of every header that some upstream may take for name:
// frameworks differ in what they do with case, "-", "_" and ".".
func (s *seen) named(name string) (values []string) {
	for other, vs := range s.header {
		if foldHeader(other) == foldHeader(name) {
			values = append(values, vs...)
		}
	}
	return values
}

var headerSeparators = strings.NewReplacer("_", "-", ".", "-")

func foldHeader(name string) string { return headerSeparators.Replace(strings.ToLower(name)) }

// bearer is the token that the gateway put into Authorization; it fails the test unless there is exactly one.
func (s *seen) bearer(t testing.TB) string {
	t.Helper()
	values := s.named("Authorization")
	if len(values) != 1 || !strings.HasPrefix(values[0], "Bearer ") {
		t.Fatalf("the upstream got Authorization %d times, want one Bearer token", len(values))
	}
	return strings.TrimPrefix(values[0], "Bearer ")
}

// An upstream is an API behind the gateway. It answers 200 and records what reaches
// it; a request to upgrade is granted, and then every byte is echoed.
type upstream struct {
	url     string
	secrets *secrets
	server  *httptest.Server

	mu   sync.Mutex
	seen []*seen
}

func startUpstream(t testing.TB, s *secrets) *upstream {
	t.Helper()
	u := &upstream{secrets: s}
	u.server = httptest.NewServer(u)
	u.url = u.server.URL
	t.Cleanup(u.server.Close)
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	u.record(&seen{method: r.Method, target: r.RequestURI, header: r.Header.Clone(), body: string(body)})
	if r.Header.Get("Upgrade") != "" {
		echo(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"upstream":true}`)
}

// echo switches protocols and sends back what comes, until the client has enough.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", r.Header.Get("Upgrade"))
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.Copy(conn, buffered)
}

func (u *upstream) record(s *seen) {
	for _, values := range s.header {
		u.secrets.learn("a request to the upstream", strings.Join(values, "\n"))
	}
	u.secrets.learn("a request to the upstream", s.target+" "+s.body)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen = append(u.seen, s)
}

// all returns what has reached the upstream.
func (u *upstream) all() []*seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*seen(nil), u.seen...)
}

// numbered returns the request that the harness sent under this number, or nil.
func (u *upstream) numbered(number string) *seen {
	for _, s := range u.all() {
		if s.header.Get(numberHeader) == number {
			return s
		}
	}
	return nil
}
