package caddymodule_test

import (
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// secretWords end the names by which the source calls what an attacker could guess letter by letter.
var secretWords = regexp.MustCompile(`(?i)(credential|presented|token|jwt|assertion|elevated|mac|nonce|secret|signature|digest|password|seal)s?$`)

// notSecret are comparisons that the words find, and why they may take as long as they like.
var notSecret = map[string]string{
	"gateway/authenticate.go: r.presented == credential": "the entry was found by the SHA-256 of the whole credential: " +
		"nobody comes to this line with a guess that is nearly right",
	"caddymodule/beside.go: g.StreamLifetime != streamToken":        "a word of the config",
	"caddymodule/gate_check.go: v != streamToken":                   "a word of the config",
	"caddymodule/request.go: g.StreamLifetime == streamToken":       "a word of the config",
	"verifier/assertion.go: s.name != stepSignature":                "the name of a check",
	"verifier/providers_check.go: switch s.name case stepSignature": "the name of a check",
}

// Who can measure how long a comparison takes finds a MAC letter by letter: several gateways
// compared API keys or signatures with ==. Here one MAC exists, that of a nonce; what is
// compared beside it must be named above, with a reason.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	found, constant := comparisonsIn(t, "..")
	for _, where := range found {
		if notSecret[where] == "" {
			t.Errorf("%s: compare it with hmac.Equal or crypto/subtle, or say in notSecret why it need not be", where)
		}
	}
	if !slices.ContainsFunc(constant, func(where string) bool { return strings.HasPrefix(where, "gateway/httpapi/nonce.go: hmac.Equal(") }) {
		t.Errorf("the MAC of a nonce is not compared with hmac.Equal; constant are %q", constant)
	}
	for _, where := range slices.Sorted(maps.Keys(notSecret)) {
		if !slices.Contains(found, where) {
			t.Errorf("notSecret has %q, which is not in the source", where)
		}
	}
}

// A reader of source that finds nothing proves nothing.
func TestHastyComparisonIsFound(t *testing.T) {
	for source, want := range map[string]bool{
		"mac == other":                      true,
		"r.Nonce != given":                  true,
		"string(sum) == r.signature()":      true,
		"bytes.Equal(mac, other)":           true,
		"bytes.Equal(macs[i][:], other)":    true,
		"[]byte(n.seal(stamp))[0] == other": true,
		"strings.EqualFold(a, apiToken)":    true,
		"bytes.Compare(secret, given) < 0":  true,
		"slices.Equal(x.digest, y)":         true,
		"members[x.Token]":                  true, // a map finds it as fast as it can
		"members[string(mac)]":              true,
		"members[token[:8]]":                true,
		"members[i]":                        false,
		"tokens[i]":                         false,
		"hmac.Equal(mac, other)":            false,
		"token == \"\"":                     false,
		"secret != nil":                     false,
		"len(token) > maxTokenSize":         false,
		"len(token) == len(other)":          false,
		"x.Assertion.Audience == other":     false,
		"issuer == other":                   false,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nvar _ = "+source, 0)
		if err != nil {
			t.Fatal(err)
		}
		hasty, _ := comparisons(file)
		if got := len(hasty) > 0; got != want {
			t.Errorf("%s: found %v, want %v", source, got, want)
		}
	}
	for source, want := range map[string]bool{
		"switch nonce { case n.seal(x): }":    true,
		"switch given { case x, n.seal(y): }": true,
		"switch nonce { case \"\": }":         false,
		"switch kind { case other: }":         false,
		"switch { case n.seal(x) == y: }":     true,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc f() {"+source+"}", 0)
		if err != nil {
			t.Fatal(err)
		}
		hasty, _ := comparisons(file)
		if got := len(hasty) > 0; got != want {
			t.Errorf("%s: found %v, want %v", source, got, want)
		}
	}
}

// comparisonsIn reads the product's source: what is no test, and what is not for tests alone.
func comparisonsIn(t *testing.T, root string) (hasty, constant []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || strings.HasSuffix(name, "test") || slices.Contains([]string{"tools", "e2e", "testdata", "node_modules", "internal"}, name)):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		place, _ := filepath.Rel(root, path)
		h, c := comparisons(file)
		for _, text := range h {
			hasty = append(hasty, filepath.ToSlash(place)+": "+text)
		}
		for _, text := range c {
			constant = append(constant, filepath.ToSlash(place)+": "+text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return hasty, constant
}

// comparisons are those of what may be secret that end at the first difference, and those
// that take as long wherever it is.
func comparisons(file *ast.File) (hasty, constant []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && !fixed(n.X) && !fixed(n.Y) && (secret(n.X) || secret(n.Y)) {
				hasty = append(hasty, written(n))
			}
		case *ast.SwitchStmt:
			hasty = append(hasty, switches(n)...)
		case *ast.IndexExpr:
			if secret(n.Index) {
				hasty = append(hasty, written(n))
			}
		case *ast.CallExpr:
			switch written(n.Fun) {
			case "hmac.Equal", "subtle.ConstantTimeCompare":
				constant = append(constant, written(n))
			case "bytes.Equal", "bytes.Compare", "bytes.EqualFold", "strings.Compare", "strings.EqualFold", "slices.Equal", "slices.Compare", "reflect.DeepEqual":
				if slices.ContainsFunc(n.Args, secret) {
					hasty = append(hasty, written(n))
				}
			}
		}
		return true
	})
	return hasty, constant
}

// switches are the comparisons of a switch with the values of its cases.
func switches(n *ast.SwitchStmt) (hasty []string) {
	for _, clause := range n.Body.List {
		for _, value := range clause.(*ast.CaseClause).List {
			if n.Tag != nil && !fixed(value) && (secret(n.Tag) || secret(value)) {
				hasty = append(hasty, "switch "+written(n.Tag)+" case "+written(value))
			}
		}
	}
	return hasty
}

// secret is whether the last name in an expression is that of a secret: of what is selected, called,
// converted, encoded, sliced or pointed at.
func secret(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return secretWords.MatchString(e.Name)
	case *ast.SelectorExpr:
		return secret(e.Sel)
	case *ast.CallExpr:
		name := written(e.Fun)
		converts := name == "string" || name == "[]byte" || strings.Contains(name, "Encode")
		return secret(e.Fun) || converts && slices.ContainsFunc(e.Args, secret)
	case *ast.IndexExpr:
		return secret(e.X)
	case *ast.SliceExpr:
		return secret(e.X)
	case *ast.ParenExpr:
		return secret(e.X)
	case *ast.StarExpr:
		return secret(e.X)
	case *ast.UnaryExpr:
		return secret(e.X)
	default:
		return false
	}
}

// fixed is whether an expression is a literal or nil: who compares with it looks whether there
// is anything, or what kind it is.
func fixed(e ast.Expr) bool {
	if name, ok := e.(*ast.Ident); ok {
		return name.Name == "nil" || name.Name == "true" || name.Name == "false"
	}
	_, literal := e.(*ast.BasicLit)
	return literal
}

func written(n ast.Node) string {
	var b strings.Builder
	_ = printer.Fprint(&b, token.NewFileSet(), n)
	return b.String()
}
