package caddymodule

// AmbiguousPaths are the targets of the list that [checkPath] is held against, which a server may
// or may not take for requests: those with a wrong escape it refuses itself.
func AmbiguousPaths() []string {
	var targets []string
	for _, c := range ambiguousPaths {
		targets = append(targets, c.target)
	}
	return targets
}
