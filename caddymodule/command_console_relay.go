package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
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

// consoleIDs are the forms of the IDs in those paths, as the gateway writes them. What
// somebody pastes instead may be a token, and Caddy logs the paths that it is asked for.
var consoleIDs = map[string]*regexp.Regexp{
	"sid": regexp.MustCompile(`^` + lowerUUID + `(\.` + lowerUUID + `)?$`),
	"id":  regexp.MustCompile(`^` + lowerUUID + `$`),
}

const lowerUUID = `[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`

const (
	// maxConsoleBody is more than a request to check the largest token takes.
	maxConsoleBody = maxTokenInput + 4096
	// maxRelayedAnswer is more than the latest decisions of an environment take.
	maxRelayedAnswer = 4 << 20
	// adminDialTimeout is how long the admin API may take to accept a connection.
	adminDialTimeout = 5 * time.Second
	// adminTimeout is how long it may take until all of its answer is here: longer than
	// it takes itself to give up on a store.
	adminTimeout = actionTimeout + 5*time.Second
)

// adminRelay passes requests on to the admin API of a running Caddy.
type adminRelay struct {
	address   string // as an operator would write it
	dial      caddy.NetworkAddress
	origin    *url.URL // what the admin API, too, takes for the same origin
	transport *http.Transport
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
	a.transport = &http.Transport{
		DialContext:        a.connect,
		DisableKeepAlives:  true, // a connection must not outlive the config that it was made to
		DisableCompression: true,
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

// ServeHTTP passes a request on once all of it is here, and the answer once all of that
// is: neither side ever sees a part. Of the answer it passes on the status and the body;
// whatever else a browser is told, the console says.
func (a *adminRelay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := checkConsoleNames(r); err != nil {
		refuseConsole(w, http.StatusBadRequest, err.Error())
		return
	}
	// http.MaxBytesReader would have the connection cut under a browser that still sends, which
	// then never sees the answer. Without it, net/http first reads some of what is left.
	body, err := io.ReadAll(io.LimitReader(r.Body, maxConsoleBody+1))
	if err != nil {
		return // the browser has gone away
	}
	if len(body) > maxConsoleBody {
		refuseConsole(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d bytes", maxConsoleBody))
		return
	}
	status, answer, err := a.ask(r, body)
	if err != nil {
		refuseConsole(w, http.StatusBadGateway, fmt.Sprintf("no Caddy answers at %s: %v", a.address, err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(answer) // nothing is left to do for a browser that has gone away
}

// checkConsoleNames refuses names that would lead to another route once somebody decodes
// and cleans the path, and IDs that are none. It repeats neither.
func checkConsoleNames(r *http.Request) error {
	if slices.ContainsFunc(strings.Split(r.URL.EscapedPath(), "/"), isDotSegment) {
		return errors.New(". and .. are no names")
	}
	for name, form := range consoleIDs {
		if id := r.PathValue(name); id != "" && !form.MatchString(id) {
			return errors.New("this is no ID: a session has a lower-case UUID, or two with a dot between them, a user has one")
		}
	}
	return nil
}

func isDotSegment(s string) bool {
	decoded, err := url.PathUnescape(s)
	return err != nil || decoded == "." || decoded == ".."
}

// ask sends the method, the path and the body of what the browser sent, and returns
// status and body of the answer.
func (a *adminRelay) ask(r *http.Request, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), adminTimeout)
	defer cancel()
	target := *a.origin
	target.Path, target.RawPath = r.URL.Path, r.URL.RawPath
	out, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	out.Header.Set("Content-Type", "application/json")
	if !a.dial.IsUnixNetwork() {
		out.Header.Set("Origin", a.origin.String()) // as Caddy's own commands say it
	}
	status, answer, err = a.roundTrip(out)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("its answer is not here after %s", adminTimeout)
	}
	return status, answer, err
}

// roundTrip follows no redirect and no upgrade: neither is a part of the admin API.
func (a *adminRelay) roundTrip(out *http.Request) (status int, answer []byte, err error) {
	resp, err := a.transport.RoundTrip(out)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < http.StatusOK {
		return 0, nil, fmt.Errorf("it answers with status %d", resp.StatusCode)
	}
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxRelayedAnswer+1))
	if err != nil {
		return 0, nil, fmt.Errorf("its answer breaks off: %w", err)
	}
	if len(answer) > maxRelayedAnswer {
		return 0, nil, fmt.Errorf("its answer is larger than %d bytes", maxRelayedAnswer)
	}
	return resp.StatusCode, answer, nil
}

func (a *adminRelay) connect(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{Timeout: adminDialTimeout}).DialContext(ctx, a.dial.Network, a.dial.JoinHostPort(0))
}
