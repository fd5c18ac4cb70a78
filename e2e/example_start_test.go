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
	"sync"
	"sync/atomic"
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
	demo    *running
}

// startWalletExport starts both on free ports. They end with the test.
func startWalletExport(t *testing.T) *walletExport {
	t.Helper()
	return startWalletExportThrough(t, func(gateway string) string { return gateway })
}

// appIsInstalled is set once npm has installed what the app needs, which is enough.
var appIsInstalled atomic.Bool

// startWalletExportThrough has the app call the gateway by another URL.
func startWalletExportThrough(t *testing.T, way func(gateway string) string) *walletExport {
	t.Helper()
	address := freeport.Address(t)
	_, port, _ := strings.Cut(address, ":")
	app := &walletExport{url: "http://" + address, alias: "http://localhost:" + port}
	start := app.startDemo(t)
	app.api = way(app.outside[0])
	app.outside[0] = app.api
	cmd := exec.CommandContext(context.Background(), start[0], start[1:]...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "PORT="+port, "GATEWAY="+app.api, "LOGIN="+app.outside[1])
	if appIsInstalled.Load() {
		cmd.Env = append(cmd.Env, "npm_config_ignore_scripts=true") // but for the one that it is told to run
	}
	awaitLine(t, cmd, app.url)
	appIsInstalled.Store(true)
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
		if found := firstToken(string(log)); found != "" {
			t.Errorf("the log of the demo holds a token: %.12s…", found)
		}
	})
	_, port, _ := strings.Cut(freeport.Address(t), ":") // of 0 the demo makes one that others can have until Caddy listens
	cmd := command(dir, "byoa", "demo", "--port="+port, "--login-port=0", "--upstream-port=0", "--app-origin="+app.url, "--data="+data)
	app.demo = awaitLine(t, cmd, "Ctrl-C ends the demo.")
	printed := app.demo.printed.String()
	app.outside = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindAllString(printed, 2)
	start := regexp.MustCompile(regexp.QuoteMeta(app.url) + ` .*: (npm .*)`).FindStringSubmatch(printed)
	if len(app.outside) != 2 || start == nil {
		t.Fatalf("the demo does not say how to start the app:\n%s", printed)
	}
	return strings.Fields(start[1])
}

// A running program ends with the test, if not before.
type running struct {
	cmd     *exec.Cmd
	stdout  io.Reader
	printed strings.Builder
	once    sync.Once
}

// awaitLine starts a program and returns when it has printed a line.
func awaitLine(t *testing.T, cmd *exec.Cmd, last string) *running {
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
	r := &running{cmd: cmd, stdout: stdout}
	t.Cleanup(r.end)
	hangs := time.AfterFunc(2*patience, func() { r.tell(syscall.SIGKILL) })
	defer hangs.Stop()
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		r.printed.WriteString(lines.Text() + "\n")
		if lines.Text() == last {
			return r
		}
	}
	r.end()
	t.Fatalf("%v ended early; was `npm ci` run in examples/wallet-export?\n%s%s", cmd.Args, r.printed.String(), stderr.String())
	return nil
}

// end does what Ctrl-C does in a terminal: the program and all that it started are told. Once is enough.
func (r *running) end() {
	r.once.Do(func() {
		r.tell(syscall.SIGINT)
		hangs := time.AfterFunc(patience, func() { r.tell(syscall.SIGKILL) })
		defer hangs.Stop()
		_, _ = io.Copy(io.Discard, r.stdout)
		_ = r.cmd.Wait() // npm passes on that its program was interrupted
	})
}

func (r *running) tell(s syscall.Signal) { _ = syscall.Kill(-r.cmd.Process.Pid, s) }
