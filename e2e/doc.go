// Package e2e tests the gateway from outside: the real binary runs as a process of
// its own, behind it an upstream that writes down what reaches it, before it clients
// whose tokens were signed by another implementation (jose, in Node.js), or were issued
// by a real OpenID provider to which they have signed in (oidc-provider, in Node.js).
//
// The console is looked at in a real browser (Chromium, driven by playwright-core), and so
// are the pages of customers' apps, which stand on the JavaScript SDKs as they are published.
//
// WebSockets are another implementation's as well (ws, in Node.js), and Chromium's.
//
// It needs Chromium, Node.js 20, and `npm ci` in each directory with a package.json, here
// and in examples; test.sh at the root sees to all.
// After each test everything that the gateway logged, at DEBUG, and every error that
// it answered is searched for the parts of every token that was about.
package e2e
