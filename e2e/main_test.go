package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"testing"
)

// caddyBinary is the gateway that all tests run: built once, from this checkout.
var caddyBinary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "byoa-e2e")
	if err != nil {
		return fail("making a directory for the binary: %v", err)
	}
	defer os.RemoveAll(dir)
	caddyBinary = filepath.Join(dir, "caddy")
	if out, err := build(caddyBinary).CombinedOutput(); err != nil {
		return fail("building the gateway: %v\n%s", err, out)
	}
	return m.Run()
}

// build compiles the gateway with the tags and flags of xcaddy, or, where this test
// is itself compiled with the race detector, with that.
func build(output string) *exec.Cmd {
	args := []string{"build", "-o", output}
	if raceDetector() {
		args = append(args, "-race")
	} else {
		args = append(args, "-trimpath", "-ldflags", "-w -s", "-tags", "nobadger,nomysql,nopgx")
	}
	return exec.CommandContext(context.Background(), "go", append(args, "./caddy")...)
}

func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

func fail(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	return 1
}
