package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/spf13/cobra"
)

// routesOrder is what `caddy byoa routes` is asked for.
type routesOrder struct{ config, adapter string }

func newRoutesCommand() *cobra.Command {
	var o routesOrder
	cmd := &cobra.Command{
		Use:   "routes --config <file>",
		Short: "Prints which route needs which scopes",
		Long: `
Prints every byoa and step_up of a config, site by site, in the order in which requests
come to them: whether a session is enough, and which route needs which scopes. The lines
of a table are sorted by path, with what comes from an OpenAPI document among them; the last
column says from where.

Of the lines of a table that match a request the most specific one decides, however they are
sorted; letter case and a slash at the end do not matter, and what is said for GET holds for
HEAD. Where several step_up see a request, it needs the scopes of all of them.

A table sees the path as it is rewritten until then, and so do the paths of an OpenAPI document
with their base. Where handle_path, uri or rewrite is on the way, what they do is printed; what
handlers of other modules do to the path is not known.

Where a handler sees only some of the requests, the matchers on the way to it are
printed. Of matchers other than host, path, method and protocol that is only the name.

The config is loaded and not started. The documents that it names are read, nothing is
fetched or written, and handlers of other modules are left alone. An environment that was
switched off while it ran is not known to be.

The exit code is 1 if the config cannot be loaded, or has neither byoa nor step_up.`,
		Example: `  $ caddy byoa routes --config Caddyfile`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.config, "config", "c", "", "Configuration file (default: the Caddyfile of the current directory)")
	flags.StringVarP(&o.adapter, "adapter", "a", "", "Name of the config adapter to apply")
	return cmd
}

func (o *routesOrder) run(out io.Writer) error {
	apps, err := loadApps(o.config, o.adapter)
	if err != nil {
		return err
	}
	app, err := provisionApp(apps)
	if err != nil {
		return err
	}
	defer func() { _ = app.Cleanup() }() // nothing was opened
	servers, err := decodeServers(apps["http"])
	if err != nil {
		return err
	}
	guards, err := findGuards(app, servers)
	if err != nil {
		return fmt.Errorf("checking the config: %w", err)
	}
	if len(guards) == 0 {
		return errors.New("no site of the config has byoa or step_up: nothing asks for a token")
	}
	return printGuards(out, guards)
}

// decodeServers decodes the servers of the HTTP app, whose handlers stay as they are written.
func decodeServers(http json.RawMessage) (map[string]*caddyhttp.Server, error) {
	var app caddyhttp.App
	if len(http) > 0 {
		if err := caddy.StrictUnmarshalJSON(http, &app); err != nil {
			return nil, fmt.Errorf("decoding the config: %w", err)
		}
	}
	return app.Servers, nil
}
