package caddymodule

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// nearestServers are the servers of an operation: its own, those of its path, or those of the document.
func nearestServers(doc *openapi3.T, item *openapi3.PathItem, operation *openapi3.Operation) openapi3.Servers {
	if operation.Servers != nil && len(*operation.Servers) > 0 {
		return *operation.Servers
	}
	if len(item.Servers) > 0 {
		return item.Servers
	}
	return doc.Servers
}

// basePath is the path of the first server as it is sent, without a slash at its end.
// Which host a request came to is for the site to say that the handler stands in.
func basePath(servers openapi3.Servers) (string, error) {
	if len(servers) == 0 {
		return "", nil
	}
	if servers[0] == nil {
		return "", errors.New("is null")
	}
	text, err := resolveVariables(servers[0])
	if err != nil {
		return "", err
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q is no URL", text)
	case u.Opaque != "" || u.Host == "" && !strings.HasPrefix(text, "/"):
		return "", fmt.Errorf("%q is relative to where the document is published, which cannot be known here; write a URL, or a path that begins with /", text)
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%q has a query or a fragment", text)
	}
	return strings.TrimSuffix(u.EscapedPath(), "/"), nil
}

var serverVariable = regexp.MustCompile(`\{[^{}]*\}`)

// resolveVariables puts the defaults of the variables into the URL of a server.
func resolveVariables(server *openapi3.Server) (string, error) {
	var missing error
	text := serverVariable.ReplaceAllStringFunc(server.URL, func(name string) string {
		v := server.Variables[name[1:len(name)-1]]
		if v == nil || v.Default == "" {
			missing = fmt.Errorf("the variable %s of %q has no default", name, server.URL)
			return ""
		}
		return v.Default
	})
	if missing == nil && strings.ContainsAny(text, "{}") {
		missing = fmt.Errorf("%q has a brace without its other half", server.URL)
	}
	return text, missing
}

// pathPattern says in the table's words what a path matches that the document has: itself, with
// whole segments for its parameters. A slash at its end makes no subtree of it.
func pathPattern(base, path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		return "", errors.New("the path does not begin with /")
	}
	if err := checkTemplate(path); err != nil {
		return "", err
	}
	pattern := base + path
	if strings.HasSuffix(pattern, "{$}") || strings.HasSuffix(pattern, "...}") {
		return "", errors.New("the last parameter has a name that means more than one segment in a table")
	}
	if strings.HasSuffix(pattern, "/") {
		pattern += "{$}"
	}
	return pattern, checkPattern(pattern)
}

// checkTemplate refuses what some frameworks write for a parameter in a way of their own: it would be
// a line that matches less than is meant, and leaves the rest to the default.
func checkTemplate(path string) error {
	for segment := range strings.SplitSeq(path, "/") {
		switch {
		case strings.HasPrefix(segment, ":"):
			return fmt.Errorf("%q is no parameter in OpenAPI; write {%s}", segment, segment[1:])
		case strings.HasPrefix(segment, "{") && strings.ContainsAny(segment, "+*:") && strings.HasSuffix(segment, "}"):
			return fmt.Errorf("the parameter %s is one of several segments, or of a form of its own; a parameter is one whole segment of any form", segment)
		}
	}
	return nil
}
