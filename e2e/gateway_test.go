package e2e_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

// patience is how long to wait for what happens at once unless something is broken.
const patience = time.Minute

// A gateway is the real binary as a child process, with an upstream behind it and a
// login system that it trusts.
type gateway struct {
	issuer   *issuer
	upstream *upstream
	secrets  *secrets
	config   config
	address  string // host:port of the site
	host     string // what requests name instead, where several sites are there
	admin    string // host:port of Caddy's admin API
	number   atomic.Int64
	process  *process
}

// startGateway starts login system, upstream and gateway. All end with the test,
// which then fails if a token was logged.
func startGateway(t testing.TB, c config) *gateway {
	t.Helper()
	s := newSecrets()
	return startGatewayFor(t, startIssuer(t, s), c)
}

// startGatewayFor is startGateway with a login system that exists already.
func startGatewayFor(t testing.TB, i *issuer, c config) *gateway {
	t.Helper()
	g := prepareGateway(t, i, c)
	g.start(t)
	return g
}

// prepareGateway leaves the gateway itself to be started.
func prepareGateway(t testing.TB, i *issuer, c config) *gateway {
	t.Helper()
	g := &gateway{issuer: i, secrets: i.secrets, upstream: startUpstream(t, i.secrets), config: c}
	g.config.issuer = i
	if g.config.dir == "" {
		g.config.dir = t.TempDir()
	}
	if g.config.Upstream == "" {
		g.config.Upstream = g.upstream.url
	}
	return g
}

// start runs the gateway until it serves.
func (g *gateway) start(t testing.TB) {
	t.Helper()
	p, err := g.tryStart(t)
	if err != nil {
		t.Fatalf("starting the gateway: %v", err)
	}
	g.process = p
}

// tryStart starts the gateway on free ports; another process may take one before
// the gateway does, and then it starts on others.
func (g *gateway) tryStart(t testing.TB) (p *process, err error) {
	t.Helper()
	for range 5 {
		p, err = g.startOnce(t)
		if err == nil || !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return p, err
}

func (g *gateway) startOnce(t testing.TB) (*process, error) {
	t.Helper()
	g.address, g.admin = freeport.Address(t), freeport.Address(t)
	p := g.newProcess(t.TempDir())
	return p, p.run(t, g.config.dir, g.writeCaddyfile(t, p.logs))
}

// newProcess is one that is not run yet, and will write its logs to a directory.
func (g *gateway) newProcess(logs string) *process {
	return &process{logs: logs, admin: g.admin, site: g.address, environ: g.config.environ, secrets: g.secrets, ended: make(chan struct{})}
}

// writeCaddyfile writes the config as it is now, beside the logs, and returns where.
func (g *gateway) writeCaddyfile(t testing.TB, logs string) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(g.address)
	at := placement{config: g.config, Admin: g.admin, Address: g.address, Port: port, Logs: logs}
	file := filepath.Join(logs, "Caddyfile")
	if err := os.WriteFile(file, []byte(at.render(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// reload puts the config as it is now in force, as an operator would.
func (g *gateway) reload(t testing.TB) {
	t.Helper()
	file := g.writeCaddyfile(t, g.process.logs)
	out, err := command(g.config.dir, "reload", "--config", file, "--adapter", "caddyfile", "--address", g.admin).CombinedOutput()
	g.secrets.Watch("what caddy reload printed", string(out))
	if err != nil {
		t.Fatalf("reloading: %v\n%s", err, out)
	}
}

// stop ends the gateway in an orderly way, as an operator would.
func (g *gateway) stop(t testing.TB) {
	t.Helper()
	g.process.end(t, syscall.SIGTERM)
}

// kill ends it as a power failure would: nothing is flushed, nothing released.
func (g *gateway) kill(t testing.TB) {
	t.Helper()
	g.process.end(t, syscall.SIGKILL)
}

// A process is one run of the gateway.
type process struct {
	cmd     *exec.Cmd
	logs    string // directory that holds all that it wrote
	admin   string // host:port of its admin API
	site    string // and of what it serves
	environ []string
	secrets *secrets
	ended   chan struct{} // closed when it has ended
	serves  bool          // or did
}

// run starts the process and returns when it serves or has failed to.
func (p *process) run(t testing.TB, dir, caddyfile string) error {
	t.Helper()
	ready, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	word := rand.Text()

	p.cmd = command(dir, "run", "--config", caddyfile, "--adapter", "caddyfile", "--pingback", ready.Addr().String())
	p.cmd.Env = append(p.cmd.Env, p.environ...)
	p.cmd.Stdin = strings.NewReader(word)
	output := p.output(t)
	p.cmd.Stdout, p.cmd.Stderr = output, output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		output.Close()
		close(p.ended)
		ready.Close()
	}()
	t.Cleanup(func() {
		p.end(t, syscall.SIGKILL)
		p.inspect(t)
	})
	return p.awaitWord(ready, word)
}

// awaitWord waits until the gateway, once it serves, says the word that it was given.
func (p *process) awaitWord(ready net.Listener, word string) error {
	_ = ready.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	conn, err := ready.Accept()
	if err != nil {
		return fmt.Errorf("waiting until it serves: %w; it said:\n%s", err, p.said())
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(conn)
	if err == nil && string(got) != word {
		err = fmt.Errorf("got %q, want %q", got, word)
	}
	p.serves = err == nil
	return err
}

// command runs the binary with data and config in dir, and nothing of our own environment.
func command(dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), caddyBinary, args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir,
		"XDG_DATA_HOME=" + filepath.Join(dir, "data"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"),
	}
	return cmd
}

func (p *process) output(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(p.logs, "output.log"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// end sends a signal and waits until the process is gone. What it showed until then is kept.
func (p *process) end(t testing.TB, signal os.Signal) {
	t.Helper()
	p.survey(t)
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
		t.Errorf("the gateway did not end on %v", signal)
	}
}

// said is what the process wrote: to its output, and to the log once it had read where that is.
func (p *process) said() string {
	output, _ := os.ReadFile(filepath.Join(p.logs, "output.log"))
	logged, _ := os.ReadFile(filepath.Join(p.logs, "caddy.log"))
	return string(output) + string(logged)
}
