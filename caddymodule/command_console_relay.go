package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// consoleRoutes are what the page needs of Caddy's admin API. Nothing else is passed
// on: over the same address configs are loaded and Caddy is stopped.
var consoleRoutes = []string{
	"GET /byoa/environments",
	"GET /byoa/health",
	"GET /byoa/environments/{name}/decisions",
	"POST /byoa/environments/{name}/check",
	"POST /byoa/environments/{name}/disable",
	"POST /byoa/environments/{name}/enable",
	"POST /byoa/environments/{name}/keys/rotate",
	"DELETE /byoa/sessions/{sid}",
	"DELETE /byoa/users/{id}/sessions",
}

const (
	// maxConsoleBody is more than a request to check the largest token takes.
	maxConsoleBody = maxTokenInput + 4096
	// adminTimeout is how long the admin API may take to begin its answer.
	adminTimeout = 15 * time.Second
)

// adminRelay passes requests on to the admin API of a running Caddy.
type adminRelay struct {
	address string // as an operator would write it
	dial    caddy.NetworkAddress
	origin  *url.URL // what the admin API, too, takes for the same origin
	proxy   *httputil.ReverseProxy
}

// newAdminRelay reads the address as Caddy's own commands do.
func newAdminRelay(address string) (*adminRelay, error) {
	at, err := caddy.ParseNetworkAddress(address)
	if err == nil && at.PortRangeSize() > 1 {
		err = errors.New("it names more than one port")
	}
	if err == nil && at.IsFdNetwork() {
		err = errors.New("a file descriptor of another process cannot be connected to")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the admin address %q: %w", address, err)
	}
	a := &adminRelay{address: address, dial: at, origin: &url.URL{Scheme: "http", Host: at.JoinHostPort(0)}}
	if at.IsUnixNetwork() {
		a.dial.Host, _, _ = strings.Cut(at.Host, "|") // behind it are the permissions of the socket
		a.origin.Host = "127.0.0.1"                   // HTTP wants a host; nobody looks at it
	}
	a.proxy = &httputil.ReverseProxy{
		Rewrite:        a.rewrite,
		ModifyResponse: bareAnswer,
		ErrorHandler:   a.explain,
		Transport: &http.Transport{
			DialContext:           a.connect,
			DisableKeepAlives:     true, // a connection must not outlive the config that it was made to
			ResponseHeaderTimeout: adminTimeout,
		},
	}
	return a, nil
}

// handler serves the routes that are passed on.
func (a *adminRelay) handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range consoleRoutes {
		mux.Handle(route, a)
	}
	return mux
}

// ServeHTTP passes a request on once all of it is here, so that the admin API never sees
// a part of one.
func (a *adminRelay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if hasDotSegment(r.URL) {
		refuseConsole(w, http.StatusBadRequest, ". and .. are no names")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxConsoleBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		refuseConsole(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d bytes", tooLarge.Limit))
		return
	} else if err != nil {
		return // the browser has gone away
	}
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	a.proxy.ServeHTTP(w, r)
}

// hasDotSegment finds a name that would lead to another route once somebody decodes
// and cleans the path.
func hasDotSegment(u *url.URL) bool {
	return slices.ContainsFunc(strings.Split(u.EscapedPath(), "/"), func(s string) bool {
		decoded, err := url.PathUnescape(s)
		return err != nil || decoded == "." || decoded == ".."
	})
}

// rewrite leaves the method, the path and the body of what the browser sent.
func (a *adminRelay) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme, p.Out.URL.Host, p.Out.URL.RawQuery = a.origin.Scheme, a.origin.Host, ""
	p.Out.Host = a.origin.Host
	p.Out.Header = http.Header{"Content-Type": {"application/json"}}
	if !a.dial.IsUnixNetwork() {
		p.Out.Header.Set("Origin", a.origin.String()) // as Caddy's own commands say it
	}
}

func (a *adminRelay) connect(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, a.dial.Network, a.dial.JoinHostPort(0))
}

// bareAnswer leaves status, type and body of an answer. What else a browser is told, the console says.
func bareAnswer(r *http.Response) error {
	r.Header = http.Header{"Content-Type": r.Header["Content-Type"]}
	return nil
}

// explain answers where there is no answer to pass on.
func (a *adminRelay) explain(w http.ResponseWriter, _ *http.Request, err error) {
	refuseConsole(w, http.StatusBadGateway, fmt.Sprintf("no Caddy answers at %s: %v", a.address, err))
}
