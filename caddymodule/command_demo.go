package caddymodule

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

// demoOrder is what `caddy byoa demo` is asked for.
type demoOrder struct {
	port, loginPort, upstreamPort int
	app                           string // the origin of the pages that may call
	data                          string
}

func newDemoCommand() *cobra.Command {
	var o demoOrder
	cmd := &cobra.Command{
		Use:   "demo [--port <n>] [--login-port <n>] [--upstream-port <n>] [--app-origin <origin>] [--data <dir>]",
		Short: "Runs the gateway on this machine, with all it needs, to see it work",
		Long: `
Starts three things on loopback, and prints lines to copy that show what the gateway does:

  the gateway, with Caddyfile.example as its config;
  a login system with a JWKS. It is no real one: it gives anybody a token for any user;
  an API that answers with the request as it got it.

Pages of one origin may call the gateway and the login system from a browser: those of
the app in examples/wallet-export, or of --app-origin.

Nothing else has to be installed, and nothing is left behind: keys and records are in a
temporary directory that is removed at the end. With --data they stay, and so does the
log; else only errors are shown. Ctrl-C ends the demo. Port 0 is any free port.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.port, "port", 9470, "Port of the gateway")
	flags.IntVar(&o.loginPort, "login-port", 9471, "Port of the demo login system")
	flags.IntVar(&o.upstreamPort, "upstream-port", 9472, "Port of the demo API")
	flags.StringVar(&o.app, "app-origin", "http://127.0.0.1:9473", "Origin of the pages that may call from a browser")
	flags.StringVar(&o.data, "data", "", "Directory for keys, records and the log, kept at the end (default: a temporary one)")
	return cmd
}

// run returns when the demo was told to end, or could not begin.
func (o *demoOrder) run(ctx context.Context, out io.Writer) error {
	if err := checkOrigin(o.app); err != nil {
		return fmt.Errorf("--app-origin: %w", err)
	}
	ctx, unblock := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer unblock()
	data, err := o.openData()
	if err != nil {
		return err
	}
	defer data.remove()
	d, err := startDemo(ctx, o, data)
	if err != nil {
		return err
	}
	defer d.stop()
	if err := d.introduce(out, data); err != nil {
		return err
	}
	<-ctx.Done()
	unblock() // from now on a second Ctrl-C ends the process at once
	return nil
}

// demoData is where all of Caddy's and the gateway's files go.
type demoData struct {
	directory string
	log       string // a file; empty where the directory is removed at the end
}

func (o *demoOrder) openData() (d demoData, err error) {
	if o.data == "" {
		d.directory, err = os.MkdirTemp("", "caddy-byoa-demo-")
	} else if d.directory, err = filepath.Abs(o.data); err == nil {
		err = os.MkdirAll(d.directory, 0o700)
		d.log = filepath.Join(d.directory, "caddy.log")
	}
	if err == nil {
		err = os.Setenv("XDG_DATA_HOME", d.directory) // the base of [caddy.AppDataDir]
	}
	if err != nil {
		return demoData{}, fmt.Errorf("making a directory for the demo: %w", err)
	}
	return d, nil
}

// storage is the directory of Caddy's storage.
func (d demoData) storage() string { return filepath.Join(d.directory, "storage") }

func (d demoData) remove() {
	if d.log == "" {
		_ = os.RemoveAll(d.directory) // it is in the system's temporary directory anyway
	}
}
