package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// consoleOrder is what `caddy byoa console` is asked for.
type consoleOrder struct {
	listen string
	adminOrder
}

func newConsoleCommand() *cobra.Command {
	var o consoleOrder
	cmd := &cobra.Command{
		Use:   "console [--listen <address>] [--address <admin address>] [--config <file>]",
		Short: "Serves a page that shows and steers a running gateway",
		Long: `
Prints the address of a page for the browser, and serves it until Ctrl-C. It shows the
settings, the keys, the store and the latest decisions of each environment, says what
is right and wrong with a token, revokes sessions, and switches an environment off and on.

All of it comes from the admin API of a Caddy that runs, at --address, or where --config
says, or at Caddy's default. That Caddy need not be up yet: the page waits for it.
A page that is in view asks for decisions every 5 seconds and for all else every 15;
Caddy logs each question at level INFO, under admin.api.

Caddy's admin address refuses browsers, so that no web page can reach it. This command
passes on what its own page asks for, to the routes under /byoa/ that it needs and to no
others. It listens on loopback alone. Other users of this machine can open the page too
while it is served, even where the admin API is a socket that they may not open.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:2020", "Loopback address of the page; port 0 is any free port")
	o.addFlags(cmd)
	return cmd
}

// run returns when the console was told to end, or could not begin.
func (o *consoleOrder) run(ctx context.Context, out io.Writer) error {
	ctx, unblock := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer unblock()
	address, err := o.find()
	if err != nil {
		return err
	}
	admin, err := newAdminRelay(address)
	if err != nil {
		return err
	}
	listener, err := listenOnLoopback(ctx, o.listen)
	if err != nil {
		return err
	}
	own := consoleAuthority(listener.Addr())
	if _, err := fmt.Fprintf(out, "http://%s/\n", own); err != nil {
		return errors.Join(err, listener.Close())
	}
	return serveConsole(ctx, listener, newConsole(own, admin))
}

// listenOnLoopback refuses addresses that another machine could reach. What a name
// means is looked up once: it is the address that was judged that is listened on.
func listenOnLoopback(ctx context.Context, address string) (net.Listener, error) {
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if !at.IP.IsLoopback() {
		return nil, fmt.Errorf("--listen: %s is not a loopback address: the page steers the gateway and asks for no password, "+
			"so no other machine may reach it; listen on 127.0.0.1, and reach it from elsewhere through an SSH tunnel", address)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("listening for the page; choose another address with --listen: %w", err)
	}
	return l, nil
}

// consoleGrace is how long answers that are under way may take when the console ends.
const consoleGrace = 2 * time.Second

// serveConsole serves until the context ends.
func serveConsole(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }() // it ends with Shutdown or Close
	select {
	case err := <-failed:
		return fmt.Errorf("serving the page: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), consoleGrace)
	defer cancel()
	if server.Shutdown(grace) != nil {
		_ = server.Close() // what is still under way waits for a Caddy that does not answer
	}
	return nil
}
