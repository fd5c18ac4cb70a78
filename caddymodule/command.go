package caddymodule

import (
	"errors"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "byoa",
		Usage: "<command>",
		Short: "Tries the gateway out, and checks tokens",
		Long: `
Commands around the byoa gateway, which turns the JWTs of a login system into
sessions and asks for a step-up on sensitive routes.

'demo' runs everything on this machine, to see it work. 'check' says what is right
and wrong with a token under a given config. 'assertion' signs one to test with. 'routes'
prints which route needs which scopes. 'keys' rotates the keys that a running gateway
signs with. 'console' shows a running gateway in the browser.`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.RunE = explainCommands
			cmd.AddCommand(newDemoCommand(), newCheckCommand(), newAssertionCommand(), newRoutesCommand(), newKeysCommand(), newConsoleCommand())
		},
	})
}

// explainCommands answers `caddy byoa` without one of its commands. What was typed
// instead is not repeated: it may be a token.
func explainCommands(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.New("this is no command of caddy byoa; see caddy byoa --help")
	}
	return cmd.Help()
}
