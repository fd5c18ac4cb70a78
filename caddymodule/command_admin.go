package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// adminOrder says where the admin API of the Caddy is that a command is about.
type adminOrder struct {
	address, config, adapter string
}

func (o *adminOrder) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.address, "address", "", "Admin address of the running Caddy (default: that of --config, else localhost:2019)")
	flags.StringVarP(&o.config, "config", "c", "", "Configuration file to take the admin address from")
	flags.StringVarP(&o.adapter, "adapter", "a", "", "Name of the config adapter to apply")
}

// find returns the address as Caddy's own commands would.
func (o *adminOrder) find() (string, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(o.address, nil, o.config, o.adapter)
	if err != nil {
		return "", fmt.Errorf("finding the admin address: %w", err)
	}
	return address, nil
}

// maxAdminAnswer is more than the admin API of any gateway answers.
const maxAdminAnswer = 16 << 20

// askAdmin decodes what the running Caddy answers into v.
func askAdmin(address, method, path string, v any) error {
	res, err := caddycmd.AdminAPIRequest(address, method, path, nil, nil)
	if err != nil {
		return fmt.Errorf("asking the Caddy at admin address %s: %w", address, err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAdminAnswer)).Decode(v); err != nil {
		return fmt.Errorf("asking the Caddy at admin address %s: its answer is not that of this program: %w", address, err)
	}
	return nil
}
