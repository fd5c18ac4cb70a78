package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A web is a server of documents that no real issuer would publish.
type web struct {
	url   string
	alias string // the same server under another name
	mux   *http.ServeMux
}

func startWeb(t testing.TB) *web {
	t.Helper()
	w := &web{mux: http.NewServeMux()}
	server := httptest.NewServer(w.mux)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.alias = strings.Replace(w.url, "127.0.0.1", "localhost", 1)
	return w
}

func (w *web) handle(path string, h http.Handler) { w.mux.Handle(path, h) }

// text answers with a text as it is.
func textAnswer(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

func jsonAnswer(body any) http.Handler {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return textAnswer(string(text))
}

// also is lines of an environment: one more provider, with our audience.
func also(issuer, keys string) string {
	return "provider " + issuer + " {\n" + keys + "\naudience " + audienceName + "\n}\n"
}

// logged reports whether a line of the log holds all of these.
func (p *process) logged(t *testing.T, parts ...string) bool {
	t.Helper()
	for line := range strings.Lines(p.log(t, "caddy.log")) {
		holds := true
		for _, part := range parts {
			holds = holds && strings.Contains(line, part)
		}
		if holds {
			return true
		}
	}
	return false
}
