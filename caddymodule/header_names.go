package caddymodule

import (
	"fmt"
	"slices"
	"strings"
)

// framingHeaders belong to the connection, to the framing of the body, or to what
// reverse_proxy says of itself: no token may travel in them, and no claim replace them.
// Written as [foldName] folds them, like [overrideHeaders].
var framingHeaders = []string{
	"connection", "content-encoding", "content-length", "content-type", "cookie", "expect", "forwarded",
	"host", "http2-settings", "keep-alive", "origin", "proxy-authenticate", "proxy-authorization",
	"proxy-connection", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade",
	"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
}

// proofHeaders carry elevated tokens and assertions.
var proofHeaders = []string{"x-dyn-elevated-access-token", "x-step-up-assertion"}

// foldName brings the names together that some server or other takes for one:
// letter case does not count, and '_' and '.' pass for '-'.
func foldName(name string) string {
	return strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
}

// checkManagedHeader accepts the name of a header that the gateway may set.
func checkManagedHeader(name string) error {
	if err := checkToken(name); err != nil {
		return fmt.Errorf("%q is no header name: %w", name, err)
	}
	folded := foldName(name)
	if slices.Contains(framingHeaders, folded) || slices.Contains(overrideHeaders, folded) || strings.HasPrefix(folded, "sec-") {
		return fmt.Errorf("%s is not the gateway's to set: servers and proxies give it a meaning of its own", name)
	}
	return nil
}

// checkCredentialHeader accepts the name of a header in which a client may bring the external JWT.
func checkCredentialHeader(name string) error {
	if slices.Contains(proofHeaders, foldName(name)) {
		return fmt.Errorf("%s carries the proof of a step-up", name)
	}
	return checkManagedHeader(name)
}
