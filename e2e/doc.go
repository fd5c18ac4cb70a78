// Package e2e tests the gateway from outside: the real binary runs as a process of
// its own, behind it an upstream that writes down what reaches it, before it clients
// whose tokens were signed by another implementation (jose, in Node.js).
//
// It needs Node.js 20 and `npm ci` in e2e/jose; test.sh at the root sees to both.
// After each test everything that the gateway logged, at DEBUG, and every error that
// it answered is searched for the parts of every token that was about.
package e2e
