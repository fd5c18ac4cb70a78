package caddymodule

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type fileCase struct {
	name    string
	content string
	size    int64 // if set, the file is made this large
	want    string
}

func (c fileCase) run(t *testing.T) {
	file := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
		t.Fatal(err)
	}
	if c.size > 0 {
		if err := os.Truncate(file, c.size); err != nil {
			t.Fatal(err)
		}
	}
	routes, err := openAPIRoutes(file)
	if c.want != "" {
		wantError(t, err, "api.yaml", c.want)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(routes) != 1 || routes[0].from != file {
		t.Errorf("got %v, want one route from %s", routes, file)
	}
}

func TestFilesThatCanBeReadInOneWayAlone(t *testing.T) {
	const small = `{"openapi": "3.1.0", "paths": {"/a": {"get": {}}}}`
	const yaml = "openapi: 3.1.0\npaths: {/a: {get: {}}}\n"
	for _, c := range []fileCase{
		{name: "JSON", content: small},
		{name: "JSON with tabs", content: strings.ReplaceAll(small, " ", "\t")},
		{name: "JSON after a byte order mark", content: "\xef\xbb\xbf\n" + small},
		{name: "JSON with a surrogate pair", content: strings.Replace(small, `"3.1.0"`, `"3.1.0", "x-a": "\ud83d\ude00"`, 1)},
		{name: "JSON that nests deep", content: strings.Replace(small, "{}", `{"x-a": `+nest(9_000)+`}`, 1)},
		{name: "YAML", content: yaml},
		{name: "YAML after a byte order mark", content: "\xef\xbb\xbf" + yaml},
		{name: "YAML in its own marks", content: "%YAML 1.1\n---\n" + yaml + "...\n"},
		{name: "YAML that nests deep", content: yaml + "x-a: " + nest(maxNesting-2)},
		{name: "YAML with a large mapping", content: yaml + mapping(9_000)},
		{name: "YAML with a large string, some times", content: yaml + largeString(10)},
		{name: "YAML with a long list, some times", content: yaml + longList(30)},
		{name: "YAML with a few laughs", content: yaml + laughs(3)},
		{name: "YAML with aliases that nest", content: yaml + nestedAliases(9, 50)},
		{name: "YAML with an alias", content: "openapi: 3.1.0\nx-a: &a {get: {}}\npaths: {/a: *a}\n"},
		{name: "YAML with a merge key", content: "openapi: 3.1.0\nx-a: &a {get: {}}\npaths: {/a: {<<: *a}}\n"},
		{name: "YAML with keys that are no strings", content: "openapi: 3.1.0\npaths: {/a: {get: {security: [{1: [], yes: [], null: [], 2020-01-01: []}]}}}\ncomponents: {securitySchemes: {1: {}, yes: {}, null: {}, 2020-01-01: {}}}\n"},
		{name: "a large file", content: small + strings.Repeat(" ", maxDocument-len(small))},

		{name: "too large", content: small, size: maxDocument + 1, want: "is larger than 10 MiB"},
		{name: "empty", want: "is empty"},
		{name: "only comments", content: "# nothing\n", want: "is empty"},
		{name: "no object", content: "a", want: "is no OpenAPI document"},
		{name: "a list", content: "[" + small + "]", want: "is no OpenAPI document"},
		{name: "null", content: "null", want: "is no OpenAPI document"},
		{name: "binary", content: "\x7fELF\x02\x01\x01\x00", want: "yaml: control characters"},
		{name: "JSON that ends early", content: small[:len(small)-1], want: "unexpected EOF"},
		{name: "JSON that goes on", content: small + "\n" + small, want: "after top-level value"},
		{name: "JSON with a comma too many", content: strings.Replace(small, "}}}", "},}}", 1), want: "invalid character ','"},
		{name: "JSON with a member twice", content: strings.Replace(small, "}}}", `}, "g\u0065t": {}}}`, 1), want: `duplicate object member name "get" within "/paths/~1a"`},
		{name: "JSON that is no UTF-8", content: strings.Replace(small, `/a`, "/\xff", 1), want: "invalid UTF-8"},
		{name: "JSON with half a surrogate pair", content: strings.Replace(small, `/a`, `/\ud83d`, 1), want: "invalid surrogate pair"},
		{name: "JSON that nests too deep", content: strings.Replace(small, "{}", `{"x-a": `+nest(10_000)+`}`, 1), want: "exceeded max depth"},
		{name: "YAML that is none", content: "openapi: 3.1.0\npaths: [\n", want: "yaml: line 2"},
		{name: "two documents", content: yaml + "---\n" + yaml, want: "line 3: a second document"},
		{name: "a broken second document", content: yaml + "---\n[\n", want: "yaml: line"},
		{name: "YAML with a key twice", content: yaml + "paths: {}\n", want: `line 3: "paths" stands twice`},
		{name: "YAML with a key that is an object", content: yaml + "? {a: b}\n: c\n", want: "line 3: a key is no string"},
		{name: "YAML that merges a string", content: yaml + "<<: a\n", want: "map merge requires map"},
		{name: "YAML with an unknown alias", content: "a: *b\n", want: "unknown anchor 'b'"},
		{name: "YAML that is no UTF-8", content: yaml + "x-a: \xff\n", want: "invalid leading UTF-8"},
		{name: "YAML that nests too deep", content: yaml + "x-a: " + nest(maxNesting+1), want: "line 3: nests deeper than 500"},
		{name: "YAML that nests without end", content: "x-a: " + strings.Repeat("[", maxDocument/2), want: "exceeded max depth"},
		{name: "YAML with a gigantic mapping", content: yaml + mapping(20_000), want: "line 3: the document holds too much"},
		{name: "YAML with one key, all over", content: yaml + "x-a: {" + strings.Repeat("a,", 1<<14) + "}", want: `line 3: "a" stands twice`},
		{name: "a large mapping, many times", content: yaml + mapping(9_000) + "x-b: [*large, *large]\n", want: "line 3: the document holds too much"},
		{name: "a long list, many times", content: yaml + longList(300), want: "line 3: the document holds too much"},
		{name: "an alias that holds itself", content: "x-a: &a {b: [*a]}\n", want: "nests deeper than 500"},
		{name: "a mapping that merges itself", content: "x-a: &a {<<: *a}\n", want: "nests deeper than 500"},
		{name: "aliases that nest too deep", content: nestedAliases(11, 50), want: "nests deeper than 500"},
		{name: "a billion laughs", content: laughs(9), want: "the document holds too much"},
		{name: "aliases that are most of the document", content: yaml + laughs(5), want: "excessive aliasing"},
		{name: "a large string, many times", content: yaml + largeString(1<<10), want: "the document holds too much"},
	} {
		t.Run(c.name, c.run)
	}
}

// nest is that many lists, each in the one before.
func nest(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

// mapping has that many keys.
func mapping(keys int) string {
	b := new(strings.Builder)
	b.WriteString("x-large: &large {")
	for i := range keys {
		fmt.Fprintf(b, "%d,", i)
	}
	return b.String() + "}\n"
}

// largeString is a string of 1 MiB, and as many aliases of it.
func largeString(aliases int) string {
	return "x-a: &a " + strings.Repeat("x", 1<<20) + "\nx-b: [" + strings.Repeat("*a,", aliases) + "]\n"
}

// longList is a list of 10,000 strings, and as many aliases of it.
func longList(aliases int) string {
	return "x-a: &a [" + strings.Repeat("x,", 10_000) + "]\nx-b: [" + strings.Repeat("*a,", aliases) + "]\n"
}

// laughs is a document in which each line stands for ten times the line before.
func laughs(lines int) string {
	b := new(strings.Builder)
	fmt.Fprintln(b, "x-0: &a0 [x]")
	for i := range lines {
		fmt.Fprintf(b, "x-%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 10))
	}
	return b.String()
}

// nestedAliases is a document in which each line nests a little, and what it stands for much more.
func nestedAliases(lines, depth int) string {
	b := new(strings.Builder)
	fmt.Fprintln(b, "x-0: &a0 x")
	for i := range lines {
		fmt.Fprintf(b, "x-%d: &a%d %s*a%d %s\n", i+1, i+1, strings.Repeat("[", depth), i, strings.Repeat("]", depth))
	}
	return b.String()
}

// A pipe or a device might never end, and a config has to be loaded in no time.
func TestDocumentIsARegularFile(t *testing.T) {
	dir := t.TempDir()
	for file, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "no such file",
		dir:                             "is no regular file",
		os.DevNull:                      "is no regular file",
	} {
		_, err := openAPIRoutes(file)
		wantError(t, err, file, want)
	}
}
