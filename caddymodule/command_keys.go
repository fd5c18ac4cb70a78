package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// keysOrder is what `caddy byoa keys` is asked for.
type keysOrder struct {
	environment string
	adminOrder
}

func newKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Rotates the keys that the gateway signs with",
		Long: `
The gateway signs session and elevated tokens with keys of its own, unless something else
exchanges tokens for it. They rotate by themselves; 'rotate' does it ahead of time.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRotateCommand())
	return cmd
}

func newRotateCommand() *cobra.Command {
	var o keysOrder
	cmd := &cobra.Command{
		Use:   "rotate [--environment <name>] [--address <admin>] [--config <file> [--adapter <name>]]",
		Short: "Makes the next signing key ahead of time",
		Long: `
Asks the running Caddy, at its admin address, to make the next signing key of an
environment now, and prints which key signs and which comes next, and when.

The next key is published at once in the JWKS of the environment, and begins to sign an
hour later: by then every service that verifies tokens has fetched it. Until then the old
key signs. It stays published until the last token that it signed has expired, and a day
more. So no session ends, and no service needs a restart.

Where a next key is published already that begins within the hour, nothing changes:
calling twice does no more than calling once.

A key that has leaked is not withdrawn by this: whoever has it can sign until it leaves
the JWKS.

The admin address is --address, else the one in --config, else Caddy's default,
localhost:2019. Instances that share their storage share their keys, so asking one of
them is enough.

The exit code is 1 if nothing was rotated, because nothing runs at that address, the
environment is unknown, its exchanger has no keys, or they could not be written.`,
		Example: `  $ caddy byoa keys rotate
  $ caddy byoa keys rotate --environment production --address unix//run/caddy/admin.sock`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.rotate(cmd.OutOrStdout()) },
	}
	cmd.Flags().StringVar(&o.environment, "environment", "", "The environment (default: the only one, or the one named default)")
	o.addFlags(cmd)
	return cmd
}

// rotate finds the environment, has its keys rotated, and prints where they are then.
func (o *keysOrder) rotate(out io.Writer) error {
	address, err := o.find()
	if err != nil {
		return err
	}
	name, err := o.choose(address)
	if err != nil {
		return err
	}
	var keys signingKeysView
	if err := askAdmin(address, http.MethodPost, "/byoa/environments/"+url.PathEscape(name)+"/keys/rotate", &keys); err != nil {
		return err
	}
	return printKeys(out, name, keys)
}

// choose returns the environment that is meant, of those that run.
func (o *keysOrder) choose(address string) (string, error) {
	var running []environmentView
	if err := askAdmin(address, http.MethodGet, "/byoa/environments", &running); err != nil {
		return "", err
	}
	names := make([]string, len(running))
	for i, e := range running {
		names[i] = e.Name
	}
	name, err := chooseEnvironment(names, o.environment)
	if err != nil {
		return "", fmt.Errorf("choosing the environment: %w", err)
	}
	return name, nil
}

func printKeys(out io.Writer, environment string, keys signingKeysView) error {
	_, err := fmt.Fprintf(out, "environment  %s\nsigns now    %s  %s, since %s\nsigns next   %s  from %s\n",
		environment, keys.Current, keys.Algorithm, at(keys.Since), keys.Next, at(keys.Rotates))
	return err
}

func at(t time.Time) string { return t.Format(time.RFC3339) }
