package verifier_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Whoever wants to verify a token must not have to compile a gateway. The package
// stands on the standard library, on jwx, and on what jwx itself needs.
func TestFloor(t *testing.T) {
	allowed := []string{
		"github.com/caddy-byoa/caddy-byoa/verifier",
		"github.com/lestrrat-go/",
		"github.com/decred/dcrd/dcrec/secp256k1/",
		"github.com/segmentio/asm/",
		"github.com/goccy/go-json",
		"golang.org/x/crypto/",
		"golang.org/x/sys/",
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".", "./verifiertest").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 3 {
		t.Fatalf("go list names only %q", deps)
	}
	for _, dep := range deps {
		if !hasAnyPrefix(dep, allowed) {
			t.Errorf("depends on %s", dep)
		}
	}
}

// jwx v2 is at the end of its life. A move away from it has to touch one file.
func TestJWXStaysInOneFile(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{join .GoFiles " "}}`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	var users []string
	for _, file := range strings.Fields(string(out)) {
		if imports(t, file, "lestrrat-go") {
			users = append(users, file)
		}
	}
	if len(users) != 1 || users[0] != "keyset.go" {
		t.Errorf("jwx is used in %v, want keyset.go alone", users)
	}
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

func imports(t *testing.T, file, what string) bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(parsed.Imports, func(i *ast.ImportSpec) bool { return strings.Contains(i.Path.Value, what) })
}
