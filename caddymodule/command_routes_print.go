package caddymodule

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// printGuards prints the guards, those of one site under one heading.
func printGuards(w io.Writer, guards []*guard) error {
	out := new(strings.Builder)
	for i, g := range guards {
		if i == 0 || g.site() != guards[i-1].site() {
			fmt.Fprintf(out, "%s%s\n", strings.Repeat("\n", min(i, 1)), g.site())
		}
		if g.gate != nil {
			fmt.Fprintf(out, "\n  byoa%s: %s\n", aside(g.where()), g.gateText())
			continue
		}
		fmt.Fprintf(out, "\n  step_up%s: %s\n%s", aside(g.where()), g.gatesText(), g.needsText())
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// aside puts text behind what it is about, if there is any.
func aside(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

// gateText says what a gate wants.
func (g *guard) gateText() string {
	text := "a session of environment " + g.environment
	if g.off {
		text += ", which is switched off"
	}
	switch {
	case g.gate.Optional && g.followed:
		text += ", or none; the step_up below it wants one"
	case g.gate.Optional:
		text += ", or none"
	case g.followed:
		text += ", and what the step_up below it says"
	case !g.off:
		text += " is enough"
	}
	if g.stripped {
		text += "; finds no token in a request that came to a byoa before the error, which took it out"
	}
	return text + g.conflictText()
}

// conflictText says which requests a gate answers with an error, because they were let in by a gate
// of another environment.
func (g *guard) conflictText() string {
	var others []string
	for _, gate := range g.before {
		if gate.environment == g.environment {
			continue
		}
		text := gate.environment + aside(gate.sharedWith(g))
		if !slices.Contains(others, text) {
			others = append(others, text)
		}
	}
	if len(others) == 0 {
		return ""
	}
	return "; answers 500 to whatever came through the byoa of environment " + strings.Join(others, " or ") + " before it"
}

// gatesText says whose sessions a step_up asks for more. A request that passed no gate is
// refused, whatever the table says of it.
func (g *guard) gatesText() string {
	var passed []string
	for _, gate := range g.before {
		if shared := gate.sharedWith(g); shared != "" {
			passed = append(passed, gate.environment+aside(shared))
			continue
		}
		if !slices.Contains(passed, gate.environment) {
			passed = append(passed, gate.environment)
		}
		return "environment " + strings.Join(passed, " or ") // another gate decides nothing anew
	}
	if len(passed) == 0 {
		return "refuses every request, because no byoa is before it"
	}
	return "environment " + strings.Join(passed, " or ") + "; refuses every other request, because no byoa is before it"
}

// needsText is the table of a step_up, sorted by path, and what holds for all of it.
func (g *guard) needsText() string {
	s := g.stepUp
	lines := []string{"METHOD\tPATH\tNEEDS\tFROM"}
	line := func(method, path string, need rule, from string) {
		lines = append(lines, strings.Join([]string{cmp.Or(method, "any"), path, needText(need), from}, "\t"))
	}
	if s.table == nil {
		line("", "any", rule{scopes: s.scopes}, "config")
	} else {
		for _, r := range sortedRows(s.table) {
			line(r.method, r.pattern, r.need, cmp.Or(r.from, "config"))
		}
		line("", "anything else", s.table.fallback, "default")
	}
	out := new(strings.Builder)
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, text := range append(lines, g.notes()...) {
		_, _ = io.WriteString(columns, "    "+text+"\n") // which a builder never refuses
	}
	_ = columns.Flush()
	return out.String()
}

func sortedRows(t *routeTable) []route {
	rows := t.rows()
	slices.SortStableFunc(rows, func(a, b route) int {
		return cmp.Or(strings.Compare(a.pattern, b.pattern), strings.Compare(a.method, b.method))
	})
	return rows
}

// needText is what a route needs, in words where the config has signs.
func needText(need rule) string {
	switch {
	case need.deny:
		return "refused"
	case need.scopes.Empty():
		return "a session"
	}
	return need.String()
}

// notes are the conditions that a step_up has beside its scopes.
func (g *guard) notes() []string {
	s, notes := g.stepUp, []string(nil)
	if text := g.rewrittenText(); text != "" && s.table != nil {
		notes = append(notes, "where PATH is the path as rewritten before: "+text)
	}
	if s.MaxAge > 0 {
		notes = append(notes, "and a login no older than "+brief(s.MaxAge))
	}
	if len(s.ACR) > 0 {
		notes = append(notes, "and a login with acr "+strings.Join(s.ACR, " or "))
	}
	if s.ReportOnly && len(g.before) > 0 {
		notes = append(notes, "but report_only: what is missing of this is logged, and not refused")
	}
	return notes
}
