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
//
// Nor can it be found by the tests of another package, which `go test` runs at the same time:
// a process takes its ports from blocks of its own, and has a block for as long as it listens
// on the block's first port. Two Caddys would share a port without a word.
const (
	first = 15000
	last  = 32000
	block = 50
)

var (
	mu        sync.Mutex
	next, end int            // what is left of the block that was taken last
	held      []net.Listener // on the first port of each block of this process, until it ends
)

// Address returns a loopback address on which nobody listens, and which it returns
// only once in this process.
func Address(t testing.TB) string {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	for range 1000 {
		if next == end && !takeBlock() {
			continue
		}
		port := next
		next++
		if free(port) {
			return at("127.0.0.1", port)
		}
	}
	t.Fatal("no loopback port is free")
	return ""
}

// takeBlock tries to get one block that is nobody's.
func takeBlock() bool {
	start := first + block*rand.IntN((last-first)/block) //nolint:gosec // which one does not matter
	l, err := listen(at("127.0.0.1", start))
	if err != nil {
		return false
	}
	held = append(held, l)
	next, end = start+1, start+block
	return true
}

// free asks for all addresses, which is what Caddy listens on for a site without `bind`.
func free(port int) bool {
	l, err := listen(at("", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func listen(address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", address)
}

func at(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
