package caddymodule

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
)

// consoleHeader is on every request that the page's script makes. A page of another
// origin cannot add it without asking first (a CORS preflight), and is never allowed to.
const consoleHeader = "X-Byoa-Console"

// consoleAuthority is the host, and the port where it is not that of http, that a browser
// sends as Host when it opens the page.
func consoleAuthority(a net.Addr) string {
	return strings.TrimSuffix(a.String(), ":80")
}

// consoleGuard lets through what the browser was pointed to by somebody at this machine.
type consoleGuard struct {
	authority string
}

// host refuses requests under any other name. A web site can have its own name resolve
// to 127.0.0.1, and its scripts then count as being of the same origin as this server;
// but the browser tells the name.
func (g consoleGuard) host(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != g.authority {
			refuseConsole(w, http.StatusForbidden, "the console answers at http://"+g.authority+"/ only")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// script refuses what was not sent by the script of the page. Reading is guarded like
// writing: what is decided here is nobody else's business.
func (g consoleGuard) script(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !g.sameOrigin(r.Header):
			refuseConsole(w, http.StatusForbidden, "only the page of the console may ask this")
		case r.Header.Get(consoleHeader) == "":
			refuseConsole(w, http.StatusForbidden, "the header "+consoleHeader+" is missing")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// sameOrigin believes the browser's word for it. Browsers that do not send Sec-Fetch-Site
// send Origin, at least with what changes something; no word at all is no.
func (g consoleGuard) sameOrigin(h http.Header) bool {
	site, origin := h.Get("Sec-Fetch-Site"), h.Get("Origin")
	if origin != "" && origin != "http://"+g.authority {
		return false
	}
	return site == "same-origin" || (site == "" && origin != "")
}

// refuseConsole answers in the form of Caddy's admin API.
func refuseConsole(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// Nothing is left to do for a browser that has gone away.
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message})
}
