package caddymodule

import (
	"bytes"
	"crypto/rand"
	"embed"
	"html/template"
	"net/http"
	"path"
	"time"
)

// consoleFiles are the page: index.html, and in assets what it loads.
//
//go:embed console
var consoleFiles embed.FS

var consolePage = template.Must(template.ParseFS(consoleFiles, "console/index.html"))

// consoleTypes are said, not guessed: what a system takes a suffix for is its own affair.
var consoleTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
}

// newConsole is the whole server of `caddy byoa console`.
func newConsole(authority string, admin *adminRelay) http.Handler {
	guard := consoleGuard{authority}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", admin.servePage)
	mux.HandleFunc("GET /assets/{file}", serveConsoleAsset)
	mux.Handle("/byoa/", guard.script(admin.handler()))
	return withConsoleHeaders(guard.host(mux))
}

// withConsoleHeaders has browsers keep every answer to themselves: no other page may
// frame it, read it or load it as a script, and none is kept on disk.
func withConsoleHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Cache-Control":                "no-store",
			"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":              "no-referrer",
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
		} {
			w.Header().Set(name, value)
		}
		next.ServeHTTP(w, r)
	})
}

// servePage serves the page under a policy that runs its own files alone, and no text
// as HTML or as a script, wherever it came from.
func (a *adminRelay) servePage(w http.ResponseWriter, _ *http.Request) {
	nonce := rand.Text()
	w.Header().Set("Content-Security-Policy", "default-src 'none'; "+
		"script-src 'nonce-"+nonce+"'; style-src 'nonce-"+nonce+"'; img-src data:; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "+
		"require-trusted-types-for 'script'; trusted-types 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// Nothing is left to do for a browser that has gone away.
	_ = consolePage.Execute(w, struct{ Nonce, Admin, Header string }{nonce, a.address, consoleHeader})
}

func serveConsoleAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	content, err := consoleFiles.ReadFile("console/assets/" + name)
	if err != nil {
		refuseConsole(w, http.StatusNotFound, "there is no such file")
		return
	}
	w.Header().Set("Content-Type", consoleTypes[path.Ext(name)])
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}
