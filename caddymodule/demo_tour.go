package caddymodule

import (
	"fmt"
	"io"
	"strings"
)

// A tour is what the demo prints: lines to copy, and what each of them shows.
type tour struct {
	api       string // URL of the gateway
	endpoints string // URL of the exchange endpoints
	login     string // URL of the login system
}

// A tourStop is one thing that the tour shows.
type tourStop struct {
	title string
	shows string // the status that the last line gets, and the code if it is refused; empty: no answer is shown
	lines []string
}

func (t tour) stops() []tourStop {
	wallet := t.api + "/wallets/1"
	stepUp := "'" + t.login + "/step-up?user=alice&scope=wallet:export'"
	export := func(headers ...string) string {
		return "curl -i -X POST" + asHeaders(headers) + " " + wallet + "/export"
	}
	return []tourStop{
		{"Without a token", "401 token_missing", []string{
			"curl -i " + wallet,
		}},
		{"Sign in at the login system and call with its JWT, in whose place the API gets a session token", "200", []string{
			"JWT=$(curl -s '" + t.login + "/login?user=alice')",
			"curl -i" + asHeaders([]string{"Authorization: Bearer $JWT"}) + " " + wallet,
		}},
		{"An export needs a step-up, and the answer names the scope", "403 step_up_required", []string{
			export("Authorization: Bearer $JWT"),
		}},
		{"The exchange: the JWT for a session, then the backend's assertion for an elevated token", "", []string{
			"SESSION=$(" + t.exchange("signin", "JWT", "minifiedJwt") + ")",
			"ASSERTION=$(curl -s " + stepUp + ")",
			"ELEVATED=$(" + t.exchange("verify", "ASSERTION", "elevatedAccessToken", "Authorization: Bearer $SESSION") + ")",
		}},
		{"With the elevated token", "200", []string{
			export("Authorization: Bearer $SESSION", "X-Dyn-Elevated-Access-Token: $ELEVATED"),
		}},
		{"The same again, but it was for one use", "403 elevated_used", []string{
			export("Authorization: Bearer $SESSION", "X-Dyn-Elevated-Access-Token: $ELEVATED"),
		}},
		{"All of it in one request, with the assertion inline", "200", []string{
			export("Authorization: Bearer $JWT", "X-Step-Up-Assertion: $(curl -s "+stepUp+")"),
		}},
	}
}

// exchange is a line that posts the token in a variable, and prints one member of the answer.
func (t tour) exchange(endpoint, variable, member string, headers ...string) string {
	return "curl -s" + asHeaders(append(headers, "Content-Type: application/json")) +
		` -d "{\"jwt\":\"$` + variable + `\"}" ` + t.endpoints + "/externalAuth/" + endpoint +
		` | sed 's/.*"` + member + `":"\([^"]*\)".*/\1/'`
}

func asHeaders(headers []string) string {
	var b strings.Builder
	for _, h := range headers {
		b.WriteString(` -H "` + h + `"`)
	}
	return b.String()
}

// print writes the tour. Lines to copy are indented, and nothing else is.
func (t tour) print(w io.Writer) error {
	for i, s := range t.stops() {
		title := fmt.Sprintf("%d. %s", i+1, s.title)
		if s.shows != "" {
			title += ": " + s.shows
		}
		if _, err := fmt.Fprintf(w, "%s\n\n    %s\n\n", title, strings.Join(s.lines, "\n    ")); err != nil {
			return err
		}
	}
	return nil
}
