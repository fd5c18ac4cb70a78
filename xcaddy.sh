#!/bin/sh
# Builds ./caddy: Caddy with this module in it. Needs Go and Git, nothing else.
#
#	./xcaddy.sh             from this checkout
#	./xcaddy.sh v1.2.3      that released version
#
# CADDY_VERSION chooses another Caddy than the one in go.mod.
set -eu
cd "$(dirname "$0")"

module=github.com/caddy-byoa/caddy-byoa
export GOWORK=off # a workspace around the checkout is not ours to build in

case $# in
# A version of its own, because without one xcaddy asks the network for the
# newest release of a module that it then takes from here anyway.
0) plugin=$module@v0.0.0-local=. ;;
1) plugin=$module@$1 ;;
*)
	echo "usage: $0 [version]" >&2
	exit 2
	;;
esac

caddy=${CADDY_VERSION:-$(go list -m -f '{{.Version}}' github.com/caddyserver/caddy/v2)}

# The version of xcaddy is in tools/xcaddy/go.mod, its checksum in go.sum beside it.
go build -C tools/xcaddy -o ../../.cache/bin/xcaddy github.com/caddyserver/xcaddy/cmd/xcaddy
.cache/bin/xcaddy build "$caddy" --with "$plugin" --output caddy

./caddy list-modules --versions | grep -E 'byoa|step_up'
