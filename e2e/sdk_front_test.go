package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// A front is the customer's web server, on an origin of its own: it has the page of the
// app, and the login, which leaves the external JWT in a cookie.
type front struct{ origin, alias string }

// startFront serves the page of the client SDK.
func startFront(t *testing.T) *front { t.Helper(); return serveFront(t, sdkPage) }

// serveFront serves a page that is one script. It is made before anybody waits for it.
func serveFront(t *testing.T, page func() ([]byte, error)) *front {
	t.Helper()
	script, err := page()
	if err != nil {
		t.Fatalf("bundling the page: %v", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, `<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>`)
	})
	mux.HandleFunc("GET /page.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(script)
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		external, _ := io.ReadAll(r.Body)
		http.SetCookie(w, &http.Cookie{
			Name: "session_jwt", Value: string(external), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &front{origin: strings.Replace(server.URL, "127.0.0.1", "localhost", 1), alias: server.URL}
}

// sdkPage is sdk/page.mjs with the SDK in it.
var sdkPage = bundling("sdk", "page.mjs")

// bundling makes one script of a page's and all that it imports, as a web server would have it.
func bundling(dir, page string, options ...string) func() ([]byte, error) {
	return sync.OnceValues(func() ([]byte, error) {
		options = append([]string{page, "--bundle", "--format=esm", "--charset=utf8", "--log-level=error"}, options...)
		cmd := exec.CommandContext(context.Background(), "node_modules/.bin/esbuild", options...)
		cmd.Dir = dir
		script, err := cmd.Output()
		if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		return script, err
	})
}
