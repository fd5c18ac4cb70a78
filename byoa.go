package byoa

import _ "github.com/caddy-byoa/caddy-byoa/caddymodule" // registers the modules
