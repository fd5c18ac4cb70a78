package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/rs/cors"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// originRule says which pages may have caused a request that a browser added a cookie
// to. It is for cookies alone: a page that sends a token in a header had to know it.
type originRule struct{ protection *http.CrossOriginProtection }

// newOriginRule trusts the server's own pages and those of the given origins.
func newOriginRule(trusted []string) (*originRule, error) {
	protection := http.NewCrossOriginProtection()
	for _, origin := range trusted {
		if err := checkOrigin(origin); err != nil {
			return nil, err
		}
		if err := protection.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	return &originRule{protection}, nil
}

// check refuses a request that may change something and comes from a page of another
// origin, as Sec-Fetch-Site says, or Origin for browsers that do not send the former.
// A request with neither is no browser's.
func (o *originRule) check(r *http.Request) error {
	if !mayChange(r) {
		return nil
	}
	// CrossOriginProtection would let the GET of a WebSocket pass unseen: its method is
	// safe, and what can then be said over the connection is not.
	asked := &http.Request{Method: http.MethodPost, Host: r.Host, Header: r.Header, URL: r.URL}
	if o.protection.Check(asked) == nil {
		return nil
	}
	return &gateway.Refusal{
		Code: gateway.CodeCrossOrigin,
		Err:  errors.New("a page of another origin caused this request, and it brought a cookie; origins that may are named in cors"),
	}
}

// mayChange says whether r could do more than read: by its method, which is unsafe unless
// RFC 9110 section 9.2.1 says otherwise in exactly these letters, or by becoming a
// connection for something else. An extended CONNECT (RFC 8441) shows in its method.
func mayChange(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return len(r.Header["Upgrade"]) > 0
	}
	return true
}

// corsPolicy answers for the origins that may read answers of the gateway, and of what
// is behind it, from a browser. A nil policy leaves everything to the upstream.
type corsPolicy struct {
	origins   []string
	endpoints *cors.Cors
}

// newCORSPolicy compiles the policy for origins that [checkOrigin] accepts; without any there is none.
func newCORSPolicy(origins []string) *corsPolicy {
	if len(origins) == 0 {
		return nil
	}
	return &corsPolicy{
		origins:   origins,
		endpoints: newCORS(origins, endpointMethods, endpointHeaders),
	}
}

// endpointMethods are those that a preflight for any endpoint is allowed. The endpoint
// itself says which of them it has, and to a page that can read that.
var endpointMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// endpointHeaders are what the SDKs send to the exchange endpoints: without one of them in the
// answer to the preflight the browser does not send the request.
var endpointHeaders = []string{
	"authorization", "content-type", "x-dyn-api-version", "x-dyn-device-fingerprint",
	"x-dyn-elevated-access-token", "x-dyn-is-global-wallet-popup", "x-dyn-logout-reason",
	"x-dyn-request-id", "x-dyn-session-id", "x-dyn-session-public-key", "x-dyn-version",
	"x-dynamic-device-nonce", "x-dynamic-device-publickey", "x-dynamic-device-signed-nonce",
	"x-dynamic-platform", "x-mfa-auth-token",
}

func newCORS(origins, methods, headers []string) *cors.Cors {
	return cors.New(cors.Options{
		// A function, because a list would be compared without regard to letter case.
		AllowOriginFunc:  func(origin string) bool { return slices.Contains(origins, origin) },
		AllowedMethods:   methods,
		AllowedHeaders:   headers,
		AllowCredentials: true,
		MaxAge:           600,
	})
}

// isPreflight recognises the question that a browser asks before it sends a request of
// another origin (Fetch standard, CORS-preflight request). To answer it nobody looks at a
// body, so whether there is one does not matter: over HTTP/3 nobody can tell beforehand.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions &&
		r.Header.Get("Origin") != "" &&
		checkToken(r.Header.Get("Access-Control-Request-Method")) == nil &&
		len(r.Header["Upgrade"]) == 0
}

// passPreflight says whether r goes on to the upstream as a preflight. That carries no
// credential, so none is asked for; hence nothing passes for one that could do more than
// ask. With a body it is a request like any other. Where nobody has said whether there is
// one (HTTP/2 and HTTP/3 have no need to say that there is none), r goes on without.
func passPreflight(r *http.Request) bool {
	if !isPreflight(r) || r.ContentLength > 0 {
		return false
	}
	if r.ContentLength < 0 {
		r.Body, r.ContentLength = http.NoBody, 0
		r.TransferEncoding, r.Trailer = nil, nil
	}
	return true
}

// preflightEndpoint answers a preflight for an exchange endpoint, if it comes from an
// origin of the policy. If it does not, nothing was written. The writer is the
// server's: one of [corsPolicy.wrap] would take the answer for an upstream's.
func (c *corsPolicy) preflightEndpoint(w http.ResponseWriter, r *http.Request) (answered bool) {
	if !isPreflight(r) || !c.allows(r) {
		return false
	}
	c.endpoints.HandlerFunc(w, r)
	return true
}

// preflightRoute answers a preflight for a protected route, if it comes from an origin of the
// policy. Any method and any header may be sent: what they may do is decided when they come.
func (c *corsPolicy) preflightRoute(w http.ResponseWriter, r *http.Request) (answered bool) {
	if !isPreflight(r) || !c.allows(r) {
		return false
	}
	// Package cors knows "any header" and no "any method". A browser asks once
	// in ten minutes, so there is time to make a policy for the method that it asks for.
	asked := []string{r.Header.Get("Access-Control-Request-Method")}
	newCORS(c.origins, asked, []string{"*"}).HandlerFunc(w, r)
	return true
}

// allows says whether r comes from a page of an origin of the policy.
func (c *corsPolicy) allows(r *http.Request) bool {
	if c == nil {
		return false
	}
	origin := r.Header["Origin"]
	return len(origin) == 1 && slices.Contains(c.origins, origin[0])
}

// wrap returns a writer that replaces whatever the upstream says about CORS by what the
// policy says: who may read the answer, and no headers beyond those that any page may read.
// The headers of the policy are set right away too, for the error routes of
// the server, which write past this writer.
func (c *corsPolicy) wrap(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if c == nil {
		return w
	}
	cw := &corsWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	if c.allows(r) {
		cw.origin = r.Header["Origin"][0]
	}
	cw.settle()
	return cw
}

// corsWriter settles the CORS headers before they leave, by whichever way they do.
type corsWriter struct {
	*caddyhttp.ResponseWriterWrapper
	origin string // that may read the answer; empty: none
	sent   bool
}

// settle replaces the CORS headers, once before every header block and never after the last.
func (w *corsWriter) settle() {
	if w.sent {
		return
	}
	h := w.Header()
	for name := range h {
		if strings.HasPrefix(http.CanonicalHeaderKey(name), "Access-Control-") {
			delete(h, name)
		}
	}
	if w.origin != "" {
		h["Access-Control-Allow-Origin"] = []string{w.origin}
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	}
	if !variesByOrigin(h["Vary"]) {
		h.Add("Vary", "Origin") // even without an origin: a cache may hold the answer for one that has
	}
}

func variesByOrigin(lines []string) bool {
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name == "*" || strings.EqualFold(name, "Origin") {
				return true
			}
		}
	}
	return false
}

// WriteHeader settles the headers of informational answers as well, and of 101, after
// which there are no others.
func (w *corsWriter) WriteHeader(status int) {
	w.settle()
	w.sent = w.sent || status >= 200 || status == http.StatusSwitchingProtocols
	w.ResponseWriterWrapper.WriteHeader(status)
}

func (w *corsWriter) Write(p []byte) (int, error) {
	w.settle()
	w.sent = true
	return w.ResponseWriterWrapper.Write(p)
}

// ReadFrom keeps the shortcut from an upstream's connection to the client's.
func (w *corsWriter) ReadFrom(r io.Reader) (int64, error) {
	w.settle()
	w.sent = true
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError sends the headers if they were not sent before. It is what
// [http.ResponseController] looks for; to hijack the connection it uses Unwrap.
func (w *corsWriter) FlushError() error {
	w.settle()
	w.sent = true
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Interface guards
var (
	_ http.ResponseWriter             = (*corsWriter)(nil)
	_ io.ReaderFrom                   = (*corsWriter)(nil)
	_ interface{ FlushError() error } = (*corsWriter)(nil)
)
