// Command caddy is Caddy with this module, put together as xcaddy does it. The
// end-to-end tests build and run it.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // what every Caddy has

	_ "github.com/caddy-byoa/caddy-byoa" // and this
)

func main() { caddycmd.Main() }
