package caddymodule

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// demo is the three things that run, and the tour through them.
type demo struct {
	servers []*http.Server // the login system and the API; the gateway is Caddy's
	tour    tour
	app     string // the origin of the pages that may call
}

// startDemo returns when all three answer. What was started before an error is stopped again.
func startDemo(ctx context.Context, o *demoOrder, data demoData) (_ *demo, err error) {
	d := &demo{app: o.app}
	defer func() {
		if err != nil {
			d.stop()
		}
	}()
	issuer, err := d.startLogin(ctx, o)
	if err != nil {
		return nil, err
	}
	upstream, err := demoListen(ctx, o.upstreamPort, "upstream-port")
	if err != nil {
		return nil, err
	}
	d.serve(upstream, http.HandlerFunc(echo))
	address, err := demoAddress(ctx, o.port)
	if err != nil {
		return nil, err
	}
	at := demoAddresses{gateway: address, upstream: upstream.Addr().String(), issuer: issuer, app: o.app}
	return d, d.startGateway(at, data)
}

// startLogin returns the issuer of the tokens, which is the URL of the login system.
func (d *demo) startLogin(ctx context.Context, o *demoOrder) (issuer string, err error) {
	listener, err := demoListen(ctx, o.loginPort, "login-port")
	if err != nil {
		return "", err
	}
	issuer = "http://" + listener.Addr().String()
	login, err := newDemoLogin(issuer, o.app)
	if err != nil {
		_ = listener.Close()
		return "", err
	}
	d.serve(listener, login.handler())
	return issuer, nil
}

func (d *demo) startGateway(at demoAddresses, data demoData) error {
	g, err := newDemoGateway(at, data)
	if err != nil {
		return err
	}
	if err := keepNonces(data.storage(), g.environmentID); err != nil {
		return err
	}
	if err := caddy.Run(g.config); err != nil {
		return fmt.Errorf("starting the gateway: %w", err)
	}
	d.tour = tour{
		api:       "http://" + at.gateway,
		endpoints: "http://" + at.gateway + defaultPrefix + "/sdk/" + g.environmentID,
		login:     at.issuer,
	}
	return nil
}

func (d *demo) serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: byAddress(h), ReadHeaderTimeout: 10 * time.Second}
	d.servers = append(d.servers, server)
	go func() { _ = server.Serve(l) }() // it ends with Close
}

// byAddress refuses whoever asks by a name. Once a page is loaded, the name that it came from
// can be made to resolve to 127.0.0.1 (DNS rebinding): to the browser, what answers there is of
// the page's own origin, which may read everything.
func byAddress(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked := (&url.URL{Host: r.Host}).Hostname(); asked != "127.0.0.1" {
			http.Error(w, "ask for 127.0.0.1, by no name", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// stop ends the gateway first, so that nothing of it misses the others.
func (d *demo) stop() {
	_ = caddy.Stop()
	for _, s := range d.servers {
		_ = s.Close()
	}
}

// introduce prints what runs where, and the tour.
func (d *demo) introduce(w io.Writer, data demoData) error {
	log := "Errors are shown here."
	if data.log != "" {
		log = "The log is " + data.log
	}
	_, err := fmt.Fprintf(w, `The gateway is at %s, in front of an API that echoes what it gets.
The login system at %s is none: it gives anybody a token for any user.
Pages of %s may call both. To see one, with Node.js: npm --prefix examples/wallet-export start
The config is Caddyfile.example. %s

Copy these lines into another terminal.

`, d.tour.api, d.tour.login, d.app, log)
	if err != nil {
		return err
	}
	if err := d.tour.print(w); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, "Ctrl-C ends the demo.")
	return err
}

// demoListen opens a loopback port. The flag is for the error, which says how to change it.
func demoListen(ctx context.Context, port int, flag string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("port %d cannot be used; choose another with --%s: %w", port, flag, err)
	}
	return l, nil
}

// demoAddress finds out whether the gateway can have the port. Caddy itself would
// share it with another Caddy that has it, and half of the requests would go there.
func demoAddress(ctx context.Context, port int) (string, error) {
	l, err := demoListen(ctx, port, "port")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
