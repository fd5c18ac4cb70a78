package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// A node is a program of ours in a Node.js process: it serves on loopback, says where
// on the first line of its output, and ends when its input does.
type node struct {
	url    string
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr bytes.Buffer // to be read only once it has ended
	once   sync.Once
}

// startNode runs `node args…` in one of the directories beside this file. It ends with the test.
func startNode(t testing.TB, dir string, args ...string) *node {
	t.Helper()
	n := &node{name: dir + "/" + args[0], cmd: exec.CommandContext(context.Background(), "node", args...)}
	n.cmd.Dir, n.cmd.Stderr = dir, &n.stderr
	stdin, err := n.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatalf("starting %s (it needs Node.js): %v", n.name, err)
	}
	n.stdin = stdin
	t.Cleanup(func() { n.end(t) })
	hangs := time.AfterFunc(patience, func() { _ = n.cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	hangs.Stop()
	if err != nil {
		n.end(t)
		t.Fatalf("%s did not start; was `npm ci` run in e2e/%s?", n.name, dir)
	}
	n.url = strings.TrimSpace(line)
	return n
}

// end closes its input and waits until it is gone; once is enough.
func (n *node) end(t testing.TB) {
	t.Helper()
	n.once.Do(func() {
		n.stdin.Close()
		hangs := time.AfterFunc(patience, func() { _ = n.cmd.Process.Kill() })
		defer hangs.Stop()
		if err := n.cmd.Wait(); err != nil {
			t.Errorf("%s ended with %v\n%s", n.name, err, n.stderr.String())
		}
	})
}
