package verifiertest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// OK is the [Vector.Expect] of a token that is good.
const OK = "ok"

// A Vector describes one token and what has to come of it. Vectors are text files
// of lines `field: value`; see the README beside them.
//
// A vector takes over whatever it does not say from its control. The control of a
// refusal is a token that is good, and the refusal changes one thing: so it is that
// thing, and nothing else, that is refused.
type Vector struct {
	Name    string
	Expect  string // OK, or the code of the refusal
	Control string // name of the vector that this one differs from
	Comment string

	fields map[string][]string // with those of the control
	own    []string            // names of those that the file itself has
}

// things are the fields of a vector, grouped into what counts as one thing: a
// header says how the token is signed, so the two change together.
var things = map[string]string{
	"header":             "header",
	"sign":               "header",
	"payload":            "payload",
	"mutate":             "mutate",
	"jwk":                "jwk",
	"subject":            "subject",
	"audience":           "audience",
	"algorithms":         "algorithms",
	"leeway":             "leeway",
	"max_bytes":          "max_bytes",
	"assertion_type":     "assertion_type",
	"assertion_audience": "assertion_audience",
	"max_lifetime":       "max_lifetime",
	"require_issuer":     "require_issuer",
}

// ReadVectors reads every .txt file of dir. It fails on whatever it does not
// understand: a vector that is misread tests nothing.
func ReadVectors(tb testing.TB, dir string) []*Vector {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("reading vectors: none in %s (%v)", dir, err)
	}
	vectors := make(map[string]*Vector)
	for _, file := range files {
		v, err := readVector(file)
		if err != nil {
			tb.Fatalf("reading vector %s: %v", file, err)
		}
		vectors[v.Name] = v
	}
	for _, v := range vectors {
		if err := v.inherit(vectors); err != nil {
			tb.Fatalf("vector %s: %v", v.Name, err)
		}
	}
	return slices.SortedFunc(maps.Values(vectors), func(a, b *Vector) int { return strings.Compare(a.Name, b.Name) })
}

func readVector(file string) (*Vector, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	v := &Vector{Name: strings.TrimSuffix(filepath.Base(file), ".txt"), fields: make(map[string][]string)}
	about := map[string]*string{"expect": &v.Expect, "control": &v.Control, "comment": &v.Comment}
	for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case !ok:
			return nil, fmt.Errorf("line without a field: %q", line)
		case about[name] != nil && *about[name] == "":
			*about[name] = value
		case things[name] != "" && (name == "jwk" || v.fields[name] == nil):
			v.fields[name] = append(v.fields[name], value)
		default:
			return nil, fmt.Errorf("field %q is unknown, or there twice", name)
		}
	}
	v.own = slices.Sorted(maps.Keys(v.fields))
	if v.Expect == "" || v.Comment == "" {
		return nil, errors.New("expect or comment is missing")
	}
	return v, nil
}

// inherit takes over from the control, and holds a refusal to changing one thing.
func (v *Vector) inherit(all map[string]*Vector) error {
	if v.Control == "" && v.Expect == OK {
		return nil
	}
	control, ok := all[v.Control]
	if !ok || control.Expect != OK {
		return fmt.Errorf("control %q is no vector that is good", v.Control)
	}
	changed := make(map[string]bool)
	for _, name := range v.own {
		changed[things[name]] = true
	}
	if v.Expect != OK && len(changed) != 1 {
		return fmt.Errorf("changes %d things of its control, not one", len(changed))
	}
	for depth := 0; control != nil; control, depth = all[control.Control], depth+1 {
		if depth > len(all) {
			return errors.New("controls form a circle")
		}
		for _, name := range control.own {
			if _, given := v.fields[name]; !given {
				v.fields[name] = control.fields[name]
			}
		}
	}
	return nil
}

// Replace returns the vector with r applied to whatever its token says. It is for who needs
// the same token from an issuer of another name, or an assertion whose jti was not used yet.
func (v *Vector) Replace(r *strings.Replacer) *Vector {
	c := *v
	c.fields = maps.Clone(v.fields)
	for _, name := range []string{"header", "payload", "mutate"} {
		if text := v.field(name); text != "" {
			c.fields[name] = []string{r.Replace(text)}
		}
	}
	return &c
}

// field returns the only value of a field, or the empty string.
func (v *Vector) field(name string) string {
	if values := v.fields[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
