package store_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// children is what the test binary does, instead of testing, where a test starts
// it once more as another process.
var children = map[string]func(path string) error{}

const (
	childVariable = "STORE_TEST_CHILD"
	pathVariable  = "STORE_TEST_PATH"
)

func TestMain(m *testing.M) {
	name := os.Getenv(childVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := children[name](os.Getenv(pathVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func childCommand(t *testing.T, name, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+name, pathVariable+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// A child is another process and the lines it has written.
type child struct {
	*exec.Cmd
	lines *bufio.Scanner
	stop  func() // ends the child's input
}

func startChild(t *testing.T, name, path string) *child {
	t.Helper()
	cmd := childCommand(t, name, path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting a child: %v", err)
	}
	return &child{cmd, bufio.NewScanner(out), func() { _ = in.Close() }}
}

// line returns the next line of the child, or ok false after the last.
func (c *child) line() (line string, ok bool) {
	ok = c.lines.Scan()
	return c.lines.Text(), ok
}
