package verifiertest_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// A witness notes how a test fails, instead of failing.
type witness struct {
	testing.TB
	failure string
}

func (w *witness) Helper() {}

func (w *witness) Fatalf(format string, args ...any) {
	w.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func failureOf(read func(tb testing.TB)) string {
	w := &witness{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		read(w)
	}()
	<-done
	return w.failure
}

// A vector that is misread tests nothing, and passes.
func TestReadVectorsRefusesWhatItDoesNotUnderstand(t *testing.T) {
	good := map[string]string{
		"control": "expect: ok\ncomment: c\nheader: {}\npayload: {}\nsubject: u\n",
		"refusal": "expect: expired\ncontrol: control\ncomment: c\npayload: {\"exp\":1}\n",
	}
	for _, c := range []struct {
		name, file, text string
		mention          string // empty: no failure
	}{
		{"good", "refusal", good["refusal"], ""},
		{"unknown field", "refusal", good["refusal"] + "audiences: a\n", `field "audiences" is unknown`},
		{"field twice", "refusal", good["refusal"] + "payload: {}\n", "there twice"},
		{"expect twice", "refusal", good["refusal"] + "expect: ok\n", "there twice"},
		{"no field", "refusal", good["refusal"] + "payload\n", "line without a field"},
		{"no expectation", "refusal", "comment: c\ncontrol: control\npayload: {}\n", "expect or comment"},
		{"no comment", "refusal", "expect: expired\ncontrol: control\npayload: {}\n", "expect or comment"},
		{"no control", "refusal", "expect: expired\ncomment: c\npayload: {}\n", "no vector that is good"},
		{"unknown control", "refusal", "expect: expired\ncomment: c\ncontrol: x\npayload: {}\n", "no vector that is good"},
		{"refused control", "other", "expect: expired\ncomment: c\ncontrol: refusal\npayload: {}\n", "no vector that is good"},
		{"changes nothing", "refusal", "expect: expired\ncomment: c\ncontrol: control\n", "changes 0 things"},
		{"changes two things", "refusal", good["refusal"] + "header: {}\n", "changes 2 things"},
		{"header and signature are one", "refusal", "expect: expired\ncomment: c\ncontrol: control\nheader: {}\nsign: none\n", ""},
		{"circle", "control", good["control"] + "control: control\n", "circle"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := maps.Clone(good)
			files[c.file] = c.text
			dir := t.TempDir()
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(dir, name+".txt"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			failure := failureOf(func(tb testing.TB) { verifiertest.ReadVectors(tb, dir) })
			if (c.mention == "") != (failure == "") || !strings.Contains(failure, c.mention) {
				t.Errorf("got failure %q, want one that mentions %q", failure, c.mention)
			}
		})
	}
}

func TestReadVectorsOfNone(t *testing.T) {
	if failureOf(func(tb testing.TB) { verifiertest.ReadVectors(tb, t.TempDir()) }) == "" {
		t.Error("no vectors, no failure")
	}
}

// Who presents a vector under another name must not change it for the next.
func TestReplaceLeavesTheVectorAsItIs(t *testing.T) {
	dir := t.TempDir()
	text := "expect: ok\ncomment: c\naudience: a\njwk: es256\nheader: {\"alg\":\"ES256\"}\npayload: {\"iss\":\"a\"}\nsign: ES256 es256\n"
	if err := os.WriteFile(filepath.Join(dir, "good.txt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	v, ring := verifiertest.ReadVectors(t, dir)[0], verifiertest.NewRing(t)
	said := func(v *verifiertest.Vector) (payload string, audiences []string) {
		c := v.Make(t, ring, time.Now())
		raw, err := base64.RawURLEncoding.DecodeString(strings.Split(c.Token, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		return string(raw), c.Config.Audiences
	}
	other := v.Replace(strings.NewReplacer(`"a"`, `"b"`))
	if payload, audiences := said(other); payload != `{"iss":"b"}` || fmt.Sprint(audiences) != "[a]" {
		t.Errorf("replaced: %s for %v", payload, audiences)
	}
	if payload, _ := said(v); payload != `{"iss":"a"}` {
		t.Errorf("the vector itself says %s now", payload)
	}
}
