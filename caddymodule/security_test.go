package caddymodule_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A promise is worth the test that shows it: each that SECURITY.md names is there to be run.
func TestEveryPromiseNamesItsTest(t *testing.T) {
	text, err := os.ReadFile("../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	inTable := regexp.MustCompile(`(?m)^\| .* \|$`)
	named := regexp.MustCompile("`([a-z0-9]+)\\.((?:Test|Fuzz)\\w+)`")
	_, promises, found := strings.Cut(string(text), "## What the gateway promises")
	promises, _, _ = strings.Cut(promises, "\n## ")
	if !found || len(inTable.FindAllString(promises, -1)) < 20 {
		t.Fatal("the promises are not where they were")
	}
	for _, row := range inTable.FindAllString(promises, -1) {
		if row != "| promise | shown by |" && !named.MatchString(row) {
			t.Errorf("no test is named for: %s", row)
		}
	}
	for _, match := range named.FindAllStringSubmatch(string(text), -1) {
		if directory, test := match[1], match[2]; !hasTest(t, directory, test) {
			t.Errorf("%s has no %s", directory, test)
		}
	}
}

func hasTest(t *testing.T, directory, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", directory, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files with tests, %v", directory, len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
