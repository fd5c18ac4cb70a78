package caddymodule_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// snippets are the fenced blocks of the README in one language.
func snippets(t *testing.T, language string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(b), -1) {
		found = append(found, m[1])
	}
	if len(found) == 0 {
		t.Fatalf("the README has no %s: this test looks at nothing", language)
	}
	return found
}

func TestReadmeCaddyfilesAreValid(t *testing.T) {
	for _, s := range snippets(t, "caddyfile") {
		if got := string(caddyfile.Format([]byte(s))); got != s {
			t.Errorf("caddy fmt makes it\n%s", got)
		}
		if !strings.HasPrefix(s, "{") { // a site alone: with the global options of the first one
			s = snippets(t, "caddyfile")[0][:strings.Index(snippets(t, "caddyfile")[0], "\n}\n")+3] + s
		}
		if err := validate(t, s); err != nil {
			t.Errorf("%v in\n%s", err, s)
		}
	}
}

// The JSON of the README says what its first Caddyfile says.
func TestReadmeJSONIsTheCaddyfile(t *testing.T) {
	twin := snippets(t, "json")[0]
	if err := validateJSON(t, twin); err != nil {
		t.Error(err)
	}
	adapted, _, err := adapt(snippets(t, "caddyfile")[0])
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ours(t, []byte(twin)), ours(t, adapted); !reflect.DeepEqual(got, want) {
		t.Errorf("the JSON has\n%v\nbut the Caddyfile makes\n%v", got, want)
	}
}

// ours is what a config says of this product: the app, and the handlers that do something.
func ours(t *testing.T, config []byte) []any {
	t.Helper()
	var c struct {
		Apps map[string]any `json:"apps"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	parts := []any{c.Apps["byoa"]}
	for _, h := range handlers(t, config) {
		if name := h["handler"]; name == "byoa" || name == "byoa_api" || name == "step_up" {
			parts = append(parts, h)
		}
	}
	return parts
}
