// Package freeport finds loopback ports for tests that must name a port before
// something else listens on it.
package freeport

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Ports are taken from below those that systems hand out to whoever asks for any (32768 to
// 60999 on Linux): in the moment between being found and being used, none of these can
// become the local end of somebody's connection, or the port of a test server.
const (
	first = 15000
	last  = 32000
)

var (
	mu    sync.Mutex
	given = make(map[int]bool) // in this process
)

// Address returns a loopback address on which nobody listens, and which it returns
// only once in this process.
func Address(t testing.TB) string {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	for range 1000 {
		port := first + rand.IntN(last-first) //nolint:gosec // a collision is all that there is to guess
		if !given[port] && free(port) {
			given[port] = true
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		}
	}
	t.Fatal("no loopback port is free")
	return ""
}

// free asks for all addresses, which is what Caddy listens on for a site without `bind`.
func free(port int) bool {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
