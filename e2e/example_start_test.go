package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

// A walletExport is the app in examples/wallet-export, started by the line that the running
// demo prints, and that demo.
type walletExport struct {
	url     string   // of the page
	alias   string   // the same page under another name, so of another origin
	api     string   // URL of the gateway
	outside []string // that, and the URL of the login system
}

// startWalletExport starts both on free ports. They end with the test.
func startWalletExport(t *testing.T) *walletExport {
	t.Helper()
	address := freeport.Address(t)
	_, port, _ := strings.Cut(address, ":")
	app := &walletExport{url: "http://" + address, alias: "http://localhost:" + port}
	start := app.startDemo(t)
	cmd := exec.CommandContext(context.Background(), start[0], start[1:]...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "PORT="+port, "GATEWAY="+app.outside[0], "LOGIN="+app.outside[1])
	awaitLine(t, cmd, app.url)
	return app
}

// startDemo starts `caddy byoa demo` for the app's pages and returns the line that starts such an app.
func (app *walletExport) startDemo(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	data := filepath.Join(dir, "demo")
	t.Cleanup(func() {
		log, err := os.ReadFile(filepath.Join(data, "caddy.log"))
		if err != nil || !bytes.Contains(log, []byte("/settings?sdkVersion=")) {
			t.Errorf("the log of the demo does not show the app: %v", err)
		}
		if found := compactJWS.Find(log); found != nil {
			t.Errorf("the log of the demo holds a token: %.12s…", found)
		}
	})
	cmd := command(dir, "byoa", "demo", "--port=0", "--login-port=0", "--upstream-port=0", "--app-origin="+app.url, "--data="+data)
	printed := awaitLine(t, cmd, "Ctrl-C ends the demo.")
	app.outside = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindAllString(printed, 2)
	start := regexp.MustCompile(regexp.QuoteMeta(app.url) + ` .*: (npm .*)`).FindStringSubmatch(printed)
	if len(app.outside) != 2 || start == nil {
		t.Fatalf("the demo does not say how to start the app:\n%s", printed)
	}
	app.api = app.outside[0]
	return strings.Fields(start[1])
}

// awaitLine starts a program and returns what it printed when it has printed a line. The
// program ends with the test, by what Ctrl-C does in a terminal: it and all that it started are told.
func awaitLine(t *testing.T, cmd *exec.Cmd, last string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tell := func(s syscall.Signal) { _ = syscall.Kill(-cmd.Process.Pid, s) }
	t.Cleanup(func() {
		tell(syscall.SIGINT)
		hangs := time.AfterFunc(patience, func() { tell(syscall.SIGKILL) })
		defer hangs.Stop()
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait() // npm passes on that its program was interrupted
	})
	hangs := time.AfterFunc(2*patience, func() { tell(syscall.SIGKILL) })
	defer hangs.Stop()
	var printed strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		printed.WriteString(lines.Text() + "\n")
		if lines.Text() == last {
			return printed.String()
		}
	}
	tell(syscall.SIGKILL)
	_ = cmd.Wait()
	t.Fatalf("%v ended early; was `npm ci` run in examples/wallet-export?\n%s%s", cmd.Args, printed.String(), stderr.String())
	return ""
}
