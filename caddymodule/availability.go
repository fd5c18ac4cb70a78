package caddymodule

import "errors"

// notYet lists what a config can name and this version cannot do. A config that
// asks for one of them is refused: a part that is silently missing would be an open door.
var notYet = map[string]bool{
	"exchange dynamic": true,
	"exchange oauth":   true,
	"oauth_client":     true,
	"store redis":      true,
}

// errNotYet is what is wrong with them; the caller says where.
var errNotYet = errors.New("not available in this version")

// checkAvailable returns an error if feature is one that this version cannot do.
func checkAvailable(feature string) error {
	if notYet[feature] {
		return errNotYet
	}
	return nil
}
