package caddymodule

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Decisions are kept in memory, where a client causes as many as it likes, each as long as a header may be.
func TestDecisionsAreBounded(t *testing.T) {
	l := decisionLog{environments: make(map[string]*latest)}
	huge := strings.Repeat("ü", 8<<10)
	scopes := strings.Split(strings.Repeat(huge+" ", 100), " ")
	for i := range 3*decisionsKept + 7 {
		l.add("one", decision{
			Time: time.Unix(int64(i), 0), Decision: "refusal", Result: "expired", UserID: huge, ExternalID: huge, Session: huge,
			JTI: huge, Scopes: scopes, ClientIP: huge, Method: huge, Path: huge, Reason: huge,
		})
	}
	got := l.of("one")
	if len(got) != decisionsKept {
		t.Fatalf("%d decisions are kept, want %d", len(got), decisionsKept)
	}
	for i, d := range got {
		if want := int64(3*decisionsKept + 6 - i); d.Time.Unix() != want {
			t.Fatalf("decision %d is the one of second %d, want %d: the newest first, without a gap", i, d.Time.Unix(), want)
		}
	}
	if len(got[0].Scopes) > scopesKept {
		t.Errorf("%d scopes are kept, want at most %d", len(got[0].Scopes), scopesKept)
	}
	texts := append([]string{got[0].UserID, got[0].ExternalID, got[0].Session, got[0].JTI, got[0].ClientIP, got[0].Method, got[0].Path, got[0].Reason}, got[0].Scopes...)
	for i, text := range texts {
		if len(text) > textKept+len("…") || !utf8.ValidString(text) || !strings.HasPrefix(text, "üü") {
			t.Errorf("text %d is kept with %d bytes: %.12q", i, len(text), text)
		}
	}
}

func TestDecisionsOfTooManyEnvironmentsForgetTheQuietest(t *testing.T) {
	l := decisionLog{environments: make(map[string]*latest)}
	at := time.Unix(0, 0)
	add := func(id string) {
		at = at.Add(time.Second)
		l.add(id, decision{Time: at, Decision: "exchange", Result: resultOK})
	}
	for i := range environmentsKept {
		add(fmt.Sprint(i))
	}
	add("0") // so that 1 is the quietest
	add("one more")
	if n := len(l.environments); n != environmentsKept {
		t.Errorf("%d environments are kept, want %d", n, environmentsKept)
	}
	for id, want := range map[string]int{"0": 2, "1": 0, "2": 1, "one more": 1, "never heard of": 0} {
		if got := len(l.of(id)); got != want {
			t.Errorf("%d decisions of environment %s, want %d", got, id, want)
		}
	}
}

// What is shown to one reader is not what the next decision is written into.
func TestDecisionsThatWereReadStayAsTheyWere(t *testing.T) {
	l := decisionLog{environments: make(map[string]*latest)}
	for range decisionsKept {
		l.add("one", decision{Result: "old"})
	}
	read := l.of("one")
	for range decisionsKept {
		l.add("one", decision{Result: "new"})
	}
	for i, d := range read {
		if d.Result != "old" {
			t.Fatalf("decision %d became %q after it was read", i, d.Result)
		}
	}
}
