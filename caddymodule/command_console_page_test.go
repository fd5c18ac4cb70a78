package caddymodule_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	consoleNonce = regexp.MustCompile(`script-src 'nonce-([A-Z2-7]{26})'`)
	consoleAsset = regexp.MustCompile(`(?:src|href)="(/[^"]*)"[^>]*`)
	consoleTag   = regexp.MustCompile(`<(?:script|link rel="stylesheet"|style)[^>]*>`)
)

func TestConsolePagePolicy(t *testing.T) {
	c := startConsole(t, "--address", "127.0.0.1:1")
	first, second := do(t, c.ask(t, http.MethodGet, "/", "")), do(t, c.ask(t, http.MethodGet, "/", ""))
	policy := first.header.Get("Content-Security-Policy")
	m := consoleNonce.FindStringSubmatch(policy)
	if m == nil {
		t.Fatalf("the policy is %q, want a nonce for scripts", policy)
	}
	if second.header.Get("Content-Security-Policy") == policy {
		t.Error("two pages have one nonce, want a new one for each")
	}
	for _, directive := range []string{
		"default-src 'none'", "style-src 'nonce-" + m[1] + "'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'",
		"frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
	} {
		if !strings.Contains(policy+";", directive+";") {
			t.Errorf("the policy is %q, want %s in it", policy, directive)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("the policy is %q, want nothing unsafe and no other host in it", policy)
	}
	tags := consoleTag.FindAllString(first.body, -1)
	if len(tags) == 0 {
		t.Error("the page loads nothing")
	}
	for _, tag := range tags {
		if !strings.Contains(tag, ` nonce="`+m[1]+`"`) {
			t.Errorf("%s lacks the nonce of the policy", tag)
		}
	}
}

func TestConsoleHeadersAreOnEveryAnswer(t *testing.T) {
	c := startConsole(t, "--address", "127.0.0.1:1")
	assets := consoleAsset.FindAllStringSubmatch(do(t, c.ask(t, http.MethodGet, "/", "")).body, -1)
	if len(assets) < 2 {
		t.Fatalf("the page loads %v, want a style and a script", assets)
	}
	want := map[string]int{"/": 200, "/nothing": 404, "/assets/nothing.js": 404, "/assets/": 404, "/byoa/health": 502, "/byoa/nothing": 404}
	for _, a := range assets {
		want[a[1]] = 200
	}
	for path, status := range want {
		a := do(t, c.ask(t, http.MethodGet, path, ""))
		if a.status != status {
			t.Errorf("%s: got %d, want %d", path, a.status, status)
		}
		for name, value := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
			"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := a.header.Values(name); len(got) != 1 || got[0] != value {
				t.Errorf("%s: %s is %q, want %s", path, name, got, value)
			}
		}
		if got := a.header.Get("Content-Security-Policy"); !strings.Contains(got, "frame-ancestors 'none'") || !strings.Contains(got, "default-src 'none'") {
			t.Errorf("%s: the policy is %q", path, got)
		}
	}
}

// The admin address may come from a config that somebody else wrote.
func TestConsolePageHoldsTheAdminAddressAsText(t *testing.T) {
	c := startConsole(t, "--address", `unix//run/"><img src=x onerror=alert(1)>.sock`)
	page := do(t, c.ask(t, http.MethodGet, "/", "")).body
	if strings.Contains(page, "<img") || !strings.Contains(page, "&lt;img src=x") {
		t.Error("the admin address is on the page as HTML, want it as text")
	}
}

// makesHTML matches what turns text into elements or into a program, and handlers that
// stand in attributes: the policy forbids them, and so does this.
var makesHTML = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|\beval\b|new Function|` +
	`setTimeout\(['"]|\bon[a-z]+="|javascript:|localStorage|sessionStorage|indexedDB|document\.cookie`)

func TestConsoleFilesNeverMakeHTMLOfText(t *testing.T) {
	var files []string
	for _, pattern := range []string{"console/*.html", "console/assets/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 3 {
		t.Fatalf("the files of the console are %v, want a page, a style and a script", files)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := makesHTML.FindAllString(string(content), -1); found != nil {
			t.Errorf("%s has %q", file, found)
		}
	}
	for _, bad := range []string{"x.innerHTML = y", `<p onclick="x()">`, "localStorage.token = x"} {
		if !makesHTML.MatchString(bad) {
			t.Errorf("%s would not be found", bad)
		}
	}
}
