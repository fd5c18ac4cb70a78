package caddymodule

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func readExample(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "Caddyfile.example"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// validateExample does what `caddy validate` does.
func validateExample(text string) error {
	adapted, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile.example"})
	if err != nil {
		return err
	}
	if len(warnings) > 0 {
		return fmt.Errorf("warning: %s", warnings[0])
	}
	var config caddy.Config
	if err := json.Unmarshal(adapted, &config); err != nil {
		return err
	}
	return caddy.Validate(&config)
}

func TestTheDemoRunsTheExampleItself(t *testing.T) {
	if !bytes.Equal(demoCaddyfile, []byte(readExample(t))) {
		t.Error("demo.Caddyfile is no longer Caddyfile.example: copy the one over the other")
	}
}

func TestExampleIsFormatted(t *testing.T) {
	text := readExample(t)
	if got := string(caddyfile.Format([]byte(text))); got != text {
		t.Errorf("caddy fmt makes it\n%s", got)
	}
}

// optionLines are the names of all directives, options and their values that are words.
func optionLines() map[string][]string {
	return map[string][]string{
		"directives":  {"byoa", "byoa_api", "step_up", "format byoa", "wrap", "environment"},
		"environment": slices.Collect(maps.Keys(environmentLines)),
		"assertion":   slices.Collect(maps.Keys(assertionLines)),
		"session":     slices.Collect(maps.Keys(sessionLines)),
		"scope":       slices.Collect(maps.Keys(scopeLines)),
		"local":       slices.Collect(maps.Keys(localLines)),
		"guests":      {"exchange local", "store file", "store memory"},
		"byoa":        slices.Collect(maps.Keys(gateLines)),
		"step_up":     slices.Collect(maps.Keys(stepUpLines)),
		"byoa_api":    slices.Collect(maps.Keys(apiLines)),
	}
}

// The example teaches everything that works, and nothing that does not.
func TestExampleHoldsEveryOption(t *testing.T) {
	lines := make(map[string]bool)
	for line := range strings.Lines(readExample(t)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "# ") {
			words := strings.Fields(strings.TrimPrefix(line, "#"))
			for n := range words {
				lines[strings.Join(words[:n+1], " ")] = true
			}
		}
	}
	for where, names := range optionLines() {
		for _, name := range names {
			if lines[name] == notYet[name] {
				t.Errorf("%s: %s in the example: %t; available in this version: %t", where, name, lines[name], !notYet[name])
			}
		}
	}
	for _, feature := range slices.Sorted(maps.Keys(notYet)) {
		if lines[feature] {
			t.Errorf("%s is not available in this version, and in the example", feature)
		}
	}
	text := readExample(t)
	for _, class := range pathClassNames {
		if !strings.Contains(text, class) {
			t.Errorf("the class %s of allow_path is not named", class)
		}
	}
}

// switchedOff is an option that stands in the example as a comment: lines first to last, counted from 0.
type switchedOff struct {
	name        string // its first word
	first, last int
	instead     string // the option of the same block that it takes the place of, if any
}

func findSwitchedOff(lines []string) []switchedOff {
	var found []switchedOff
	for i := 0; i < len(lines); i++ {
		option, ok := optionOf(lines[i])
		if !ok {
			continue
		}
		s := switchedOff{name: strings.Fields(option)[0], first: i}
		for depth := 0; ; i++ {
			option, _ := optionOf(lines[i])
			switch {
			case strings.HasSuffix(option, " {"):
				depth++
			case strings.TrimSpace(option) == "}":
				depth--
			}
			if depth == 0 {
				break
			}
		}
		s.last = i
		for j := s.first - 1; strings.HasPrefix(strings.TrimSpace(lines[j]), "# "); j-- {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(lines[j]), "# Instead of "); ok {
				s.instead, _, _ = strings.Cut(rest, ":")
			}
		}
		found = append(found, s)
	}
	return found
}

// optionOf returns the line with its # taken away, if that makes it an option.
func optionOf(line string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
	return rest, ok && rest != "" && rest[0] != ' '
}

// apply is what a reader does who follows the comment.
func (s switchedOff) apply(t *testing.T, lines []string) string {
	t.Helper()
	changed := slices.Clone(lines)
	for i := s.first; i <= s.last; i++ {
		changed[i] = strings.Replace(lines[i], "#", "", 1)
	}
	if s.instead != "" {
		at := s.first - 1
		for ; at >= 0 && !strings.HasPrefix(strings.TrimSpace(lines[at]), s.instead+" "); at-- {
		}
		if at < 0 {
			t.Fatalf("nothing above is %s", s.instead)
		}
		changed = slices.Delete(changed, at, at+1)
	}
	return strings.Join(changed, "\n")
}

// No line of the example is wrong: neither those that stand, nor any that is switched on.
func TestExampleIsValidWithEachOptionSwitchedOn(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("BYOA_TLS_CA", writeCertificate(t))
	t.Setenv("BYOA_OPENAPI", filepath.Join("testdata", "openapi", "wallets.yaml"))
	text := readExample(t)
	if err := validateExample(text); err != nil {
		t.Fatalf("as it stands: %v", err)
	}
	lines := strings.Split(text, "\n")
	found := findSwitchedOff(lines)
	var names []string
	for _, s := range found {
		names = append(names, s.name)
		t.Run(fmt.Sprintf("%s in line %d", s.name, s.first+1), func(t *testing.T) {
			changed := s.apply(t, lines)
			if err := validateExample(changed); err != nil {
				t.Error(err)
			}
			if s.instead == "" {
				return
			}
			s.instead = ""
			if validateExample(s.apply(t, lines)) == nil {
				t.Errorf("the comment says that the option above has to go, and it need not")
			}
		})
	}
	want := []string{"jwks_file", "discovery", "tls_ca", "insecure_http", "provider", "cookie_name", "cookie", "link", "store", "check", "openapi", "report_only"}
	if !slices.Equal(names, want) {
		t.Errorf("switched off are %v, want %v", names, want)
	}
}

// writeCertificate returns the path of a PEM file with some certificate.
func writeCertificate(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
