package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A call is a request as it went over the wire, and its answer.
type call struct {
	method, path string
	header       http.Header
	body         string
	status       int
	answer       http.Header
	said         string
}

// A wire lies between an app and the gateway. It passes on what comes, unless the test
// changes it, writes down what passed, and holds it against the rules about tokens as
// the harness does with its own requests.
type wire struct {
	t       *testing.T
	gateway *gateway
	url     string

	mu       sync.Mutex
	change   func(*http.Request)
	endpoint string       // whose answers to amend
	amend    func(claims) // nil: none
	passed   []call
}

func startWire(t *testing.T, g *gateway) *wire {
	t.Helper()
	w := &wire{t: t, gateway: g}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: g.address})
			r.Out.Host = r.In.Host
		},
		Transport: w,
		ErrorLog:  log.New(io.Discard, "", 0), // of a page that is closed while it waits
	})
	t.Cleanup(server.Close)
	w.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return w
}

// RoundTrip passes one request on.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	if w.change != nil {
		w.change(r)
	}
	w.mu.Unlock()
	body, err := read(&r.Body)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	said, err := read(&res.Body)
	if err != nil {
		return nil, err
	}
	w.record(call{r.Method, r.URL.Path, r.Header.Clone(), body, res.StatusCode, res.Header.Clone(), said})
	said = w.amended(r.URL.Path, said)
	res.Body, res.ContentLength = io.NopCloser(strings.NewReader(said)), int64(len(said))
	res.Header.Set("Content-Length", strconv.Itoa(len(said)))
	return res, nil
}

// read returns a body and leaves it to be read again.
func read(body *io.ReadCloser) (string, error) {
	if *body == nil || *body == http.NoBody {
		return "", nil
	}
	text, err := io.ReadAll(*body)
	(*body).Close()
	*body = io.NopCloser(bytes.NewReader(text))
	return string(text), err
}

func (w *wire) record(c call) {
	secrets := w.gateway.secrets
	secrets.learn("a request of an app", written(c.header)+c.body)
	secrets.judge(c.path, &answer{status: c.status, header: c.answer, body: c.said})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passed = append(w.passed, c)
}

func written(h http.Header) string {
	var b strings.Builder
	_ = h.Write(&b)
	return b.String()
}

// changing has the wire change every request from now on; nil: none.
func (w *wire) changing(change func(*http.Request)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.change = change
}

// saying has the wire change what the gateway says at an endpoint of the SDK; nil: nothing any more.
func (w *wire) saying(endpoint string, change func(said claims)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endpoint, w.amend = apiPath+endpoint, change
}

// amended is what was said as the app is to hear it.
func (w *wire) amended(path, said string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var body claims
	if w.amend == nil || path != w.endpoint || json.Unmarshal([]byte(said), &body) != nil {
		return said
	}
	w.amend(body)
	text, _ := json.Marshal(body)
	return string(text)
}

// calls are the requests to a path, other than a browser's questions before them.
func (w *wire) calls(method, path string) (found []call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.passed {
		if c.method == method && c.path == path {
			found = append(found, c)
		}
	}
	return found
}

// last is the latest request to an endpoint of the SDK.
func (w *wire) last(t *testing.T, method, endpoint string) call {
	t.Helper()
	found := w.calls(method, apiPath+endpoint)
	if len(found) == 0 {
		t.Fatalf("the app did not %s %s", method, endpoint)
	}
	return found[len(found)-1]
}

// text is a member of the answer's JSON.
func (c call) text(member string) string { return (&answer{body: c.said}).text(member) }

// cookie is one that the answer sets.
func (c call) cookie(t *testing.T, name string) *http.Cookie {
	t.Helper()
	return (&answer{status: c.status, header: c.answer}).cookie(t, name)
}
