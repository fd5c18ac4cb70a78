package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// A dialogue is with a program of ours in a Node.js process, which answers each line of
// JSON by a line, {result} or {error}, and ends when its input does.
type dialogue struct {
	dir    string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer // to be read only once it has ended
	once   sync.Once
}

// answersWithin is long enough for a browser to start, and to give up by itself and say on what.
const answersWithin = 3 * patience

// startDialogue runs a program in one of the directories beside this file. It ends with the test.
func startDialogue(t *testing.T, dir, program string) *dialogue {
	t.Helper()
	d := &dialogue{dir: dir, cmd: exec.CommandContext(context.Background(), "node", program)}
	d.cmd.Dir, d.cmd.Stderr = dir, &d.stderr
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatalf("starting %s/%s (it needs Node.js): %v", dir, program, err)
	}
	d.stdout = bufio.NewReaderSize(stdout, 1<<20)
	t.Cleanup(func() { d.end(t) })
	return d
}

// ask has the program do something, and fails the test if it cannot, or says nothing.
func (d *dialogue) ask(t *testing.T, task claims) any {
	t.Helper()
	line, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	hangs := time.AfterFunc(answersWithin, func() { _ = d.cmd.Process.Kill() })
	_, err = d.stdin.Write(append(line, '\n'))
	text, readErr := d.stdout.ReadBytes('\n')
	inTime := hangs.Stop()
	if err != nil || readErr != nil {
		d.end(t)
		if !inTime {
			t.Fatalf("%v: the program in e2e/%s did not answer within %v", task["do"], d.dir, answersWithin)
		}
		t.Fatalf("%v: the program has ended; was `npm ci` run in e2e/%s, and is Chromium installed? %v, %v", task["do"], d.dir, err, readErr)
	}
	var answer struct {
		Result any
		Error  string
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("the program said %q: %v", text, err)
	}
	if answer.Error != "" {
		t.Fatalf("%v: %s", task["do"], answer.Error)
	}
	return answer.Result
}

// end closes its input and waits until it is gone; once is enough.
func (d *dialogue) end(t *testing.T) {
	t.Helper()
	d.once.Do(func() {
		d.stdin.Close()
		hangs := time.AfterFunc(patience, func() { _ = d.cmd.Process.Kill() })
		defer hangs.Stop()
		if err := d.cmd.Wait(); err != nil {
			t.Errorf("the program in e2e/%s ended with %v\n%s", d.dir, err, d.stderr.String())
		}
	})
}
