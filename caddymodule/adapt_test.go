package caddymodule_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-byoa/caddy-byoa/caddymodule"
)

var update = flag.Bool("update", false, "write what was adapted into the golden files")

// ofTests are the modules in a list that only exist in the tests of this package.
var ofTests = regexp.MustCompile(`, test_[a-z]+`)

// separator stands between a Caddyfile and what becomes of it.
const separator = "\n----------\n"

// golden is a file of testdata/adapt: a Caddyfile, and the JSON or the error that it becomes.
type golden struct {
	path, caddyfile, want string
}

func goldens(t *testing.T, pattern string) []golden {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "adapt", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden files match %s (%v)", pattern, err)
	}
	var gs []golden
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		input, want, found := strings.Cut(string(b), separator)
		if !found && !*update {
			t.Fatalf("%s: no line of ten dashes", path)
		}
		gs = append(gs, golden{path, strings.TrimSpace(input) + "\n", strings.TrimSpace(want)})
	}
	return gs
}

func (g golden) write(t *testing.T, got string) {
	t.Helper()
	if err := os.WriteFile(g.path, []byte(strings.TrimSpace(g.caddyfile)+separator+got+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func adapt(input string) ([]byte, []caddyconfig.Warning, error) {
	return caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
}

// indent lays JSON out as the golden files have it.
func indent(t *testing.T, b []byte) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestCaddyfileAdapts(t *testing.T) {
	for _, g := range goldens(t, "*.caddyfiletest") {
		t.Run(filepath.Base(g.path), func(t *testing.T) {
			adapted, warnings, err := adapt(g.caddyfile)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				t.Errorf("warning: %s", w)
			}
			got := indent(t, adapted)
			if *update {
				g.write(t, got)
				return
			}
			if got != g.want {
				t.Errorf("adapted to\n%s\nwant\n%s", got, g.want)
			}
		})
	}
}

// A mistake is refused where it is made: the error names file and line, and says what to do.
func TestCaddyfileMistakes(t *testing.T) {
	for _, g := range goldens(t, "errors/*.caddyfiletest") {
		t.Run(filepath.Base(g.path), func(t *testing.T) {
			adapted, _, err := adapt(g.caddyfile)
			if err == nil {
				t.Fatalf("adapted to\n%s\nwant the error\n%s", adapted, g.want)
			}
			got := ofTests.ReplaceAllString(err.Error(), "")
			if *update {
				g.write(t, got)
				return
			}
			if got != g.want {
				t.Errorf("error\n%s\nwant\n%s", got, g.want)
			}
			if !strings.Contains(err.Error(), "Caddyfile:") {
				t.Error("the error names no file and line")
			}
		})
	}
}

func TestGoldenCaddyfilesAreFormatted(t *testing.T) {
	for _, g := range append(goldens(t, "*.caddyfiletest"), goldens(t, "errors/*.caddyfiletest")...) {
		if got := string(caddyfile.Format([]byte(g.caddyfile))); got != g.caddyfile {
			if *update {
				g.caddyfile = got
				g.write(t, g.want)
				continue
			}
			t.Errorf("%s: caddy fmt makes it\n%s", g.path, got)
		}
	}
}

// What the Caddyfile becomes is what the JSON structs read, key for key: nothing that
// it says is silently lost.
func TestAdaptedJSONIsWhatTheStructsRead(t *testing.T) {
	structs := map[string]func() any{
		"byoa":     func() any { return new(caddymodule.Gate) },
		"step_up":  func() any { return new(caddymodule.StepUp) },
		"byoa_api": func() any { return new(caddymodule.API) },
	}
	seen := make(map[string]bool)
	for _, g := range goldens(t, "*.caddyfiletest") {
		adapted, _, err := adapt(g.caddyfile)
		if err != nil {
			t.Fatalf("%s: %v", g.path, err)
		}
		var config struct {
			Apps struct {
				BYOA json.RawMessage
				HTTP json.RawMessage
			}
		}
		if err := json.Unmarshal(adapted, &config); err != nil {
			t.Fatalf("%s: %v", g.path, err)
		}
		if config.Apps.BYOA != nil {
			seen["app"] = true
			roundTrip(t, g.path, config.Apps.BYOA, new(caddymodule.App))
		}
		for _, h := range handlers(t, config.Apps.HTTP) {
			name, _ := h["handler"].(string)
			if structs[name] == nil {
				continue
			}
			seen[name] = true
			delete(h, "handler")
			raw, err := json.Marshal(h)
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, g.path+": "+name, raw, structs[name]())
		}
	}
	for _, name := range []string{"app", "byoa", "step_up", "byoa_api"} {
		if !seen[name] {
			t.Errorf("no golden file holds %s", name)
		}
	}
}

// roundTrip decodes raw strictly into v, and wants the same JSON back.
func roundTrip(t *testing.T, where string, raw json.RawMessage, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	again, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := sorted(t, again), sorted(t, raw); got != want {
		t.Errorf("%s: encodes to\n%s\nwant\n%s", where, got, want)
	}
}

func sorted(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whatever order the directives are written in, the endpoints come before every rewrite, and
// the gate and the guard after them all, in this order: else a rewrite could swallow the
// endpoints, or lead past the guard to a path that was never judged.
func TestDirectivesRunInTheirPlace(t *testing.T) {
	directives := []string{
		"byoa_api", "method GET", "rewrite /old /new", "uri strip_prefix /v1", "try_files {path} /index.html",
		"byoa", "step_up wallet:export", "basic_auth {\n user $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n}", "reverse_proxy localhost:9000",
	}
	want := []string{"byoa_api", "rewrite", "rewrite", "rewrite", "rewrite", "byoa", "step_up", "authentication", "reverse_proxy"}
	for turn := range directives {
		written := slices.Concat(directives[turn:], directives[:turn])
		for range 2 {
			adapted, _, err := adapt("example.com {\n" + strings.Join(written, "\n") + "\n}\n")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, h := range handlers(t, adapted) {
				if name := h["handler"].(string); name != "subroute" {
					got = append(got, name)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("written as %q\nruns as %q\nwant    %q", written, got, want)
			}
			slices.Reverse(written)
		}
	}
}

// handlers finds every HTTP handler in a config, in the order in which they run.
func handlers(t *testing.T, raw json.RawMessage) []map[string]any {
	t.Helper()
	var root any
	if err := json.Unmarshal(raw, &root); err != nil {
		t.Fatal(err)
	}
	var found []map[string]any
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, child := range v {
				walk(child)
			}
		case map[string]any:
			if _, ok := v["handler"].(string); ok {
				found = append(found, v)
			}
			for _, child := range v {
				walk(child)
			}
		}
	}
	walk(root)
	return found
}
