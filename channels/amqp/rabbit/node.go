//go:build unix

// Package rabbit starts a private RabbitMQ: a node of the machine's own
// rabbitmq-server, for tests and measurements.
package rabbit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// The scripts as Debian has them, and as others do: those in the PATH of Debian
// change the user and read the machine's own configuration.
var scripts = []string{"/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"}

// ErrMissing means that this machine has no rabbitmq-server.
var ErrMissing = errors.New("there is no RabbitMQ: install rabbitmq-server (apt-get install rabbitmq-server)")

// startTime is how long a node may take to start, on a machine with other things
// to do.
const startTime = 2 * time.Minute

// Node is a private node, with its own store, cookie, ports and name service.
type Node struct {
	// URL is where it listens, on the loopback interface, and TLSURL where it does
	// so with TLS, if Start was given certificates.
	URL    string
	TLSURL string

	dir      string
	bin      string
	env      []string
	epmd     *exec.Cmd
	server   *exec.Cmd
	exited   chan struct{}
	startLog *os.File
}

// TLS names the files of a node's certificate, and of the authority whose
// certificates it asks of clients.
type TLS struct{ CA, Cert, Key string }

// Options of a node.
type Options struct {
	// Dir is an empty directory for all that it keeps.
	Dir string
	// Env is the environment of this process, of which the node has what it needs.
	Env []string
	// TLS has the node listen with TLS, too.
	TLS []TLS
}

// find gives the directory of the server's scripts, and the path of epmd, the name
// service of Erlang.
func find() (bin, epmd string, err error) {
	for _, d := range scripts {
		if _, err := os.Stat(filepath.Join(d, "rabbitmq-server")); err == nil {
			epmd, err := exec.LookPath("epmd")
			if err != nil {
				return "", "", ErrMissing
			}
			return d, epmd, nil
		}
	}
	return "", "", ErrMissing
}

// Installed says whether this machine has a rabbitmq-server.
func Installed() bool {
	_, _, err := find()
	return err == nil
}

// Start starts a node, and waits until it serves. It ends with Close, and where the
// system can do that with this process. ctx bounds the start alone.
func Start(ctx context.Context, o Options) (*Node, error) {
	bin, epmd, err := find()
	if err != nil {
		return nil, err
	}
	n := &Node{dir: o.Dir, bin: bin}
	port, err := ports(ctx, 4)
	if err != nil {
		return nil, err
	}
	n.URL = fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", port[0])
	var config strings.Builder
	fmt.Fprintf(&config, "listeners.tcp.1 = 127.0.0.1:%d\nlog.file = false\nlog.console = true\nlog.console.level = warning\n", port[0])
	for _, f := range o.TLS {
		n.TLSURL = fmt.Sprintf("amqps://guest:guest@127.0.0.1:%d/", port[3])
		fmt.Fprintf(&config, "listeners.ssl.1 = 127.0.0.1:%d\nssl_options.cacertfile = %s\nssl_options.certfile = %s\nssl_options.keyfile = %s\n"+
			"ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n", port[3], f.CA, f.Cert, f.Key)
	}
	files := map[string]string{
		"rabbitmq.conf":  config.String(),
		"plugins":        "[].\n",
		".erlang.cookie": "bellhoptest" + fmt.Sprint(port[0]),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o400); err != nil {
			return nil, err
		}
	}
	n.env = append(environment(o.Env),
		"HOME="+n.dir,
		"ERL_EPMD_PORT="+fmt.Sprint(port[1]), "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_NODENAME=bellhop@localhost", "RABBITMQ_DIST_PORT="+fmt.Sprint(port[2]),
		"RABBITMQ_MNESIA_BASE="+filepath.Join(n.dir, "store"), "RABBITMQ_LOG_BASE="+filepath.Join(n.dir, "log"),
		"RABBITMQ_CONF_ENV_FILE="+filepath.Join(n.dir, "none"), "RABBITMQ_CONFIG_FILE="+filepath.Join(n.dir, "rabbitmq.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(n.dir, "plugins"), "RABBITMQ_PID_FILE="+filepath.Join(n.dir, "pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
		"RABBITMQ_ALLOW_INPUT=1", // the script becomes the server, whose process is then ours
	)
	n.epmd = exec.CommandContext(context.WithoutCancel(ctx), epmd, "-port", fmt.Sprint(port[1]), "-address", "127.0.0.1")
	n.epmd.Env, n.epmd.SysProcAttr = n.env, child()
	if err := n.epmd.Start(); err != nil {
		return nil, err
	}
	if err := n.Up(ctx); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// environment is all without what the machine's own broker is told.
func environment(all []string) []string {
	var env []string
	for _, v := range all {
		if !strings.HasPrefix(v, "RABBITMQ_") && !strings.HasPrefix(v, "ERL_") && !strings.HasPrefix(v, "HOME=") {
			env = append(env, v)
		}
	}
	return env
}

// ports gives ports that nobody listened on a moment ago.
func ports(ctx context.Context, n int) ([]int, error) {
	all := make([]int, n)
	for i := range all {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // it was only asked for its port
		all[i] = l.Addr().(*net.TCPAddr).Port
	}
	return all, nil
}

// Up starts a node that was stopped, on what it had stored before.
func (n *Node) Up(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(n.dir, "console"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(n.bin, "rabbitmq-server"), "-noinput")
	cmd.Env, cmd.Stdout, cmd.Stderr = n.env, log, log
	cmd.SysProcAttr = child()
	if err := cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // it is killed, and says so
	}()
	n.server, n.exited, n.startLog = cmd, exited, log
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(startTime); ; {
		c, err := amqp091.Dial(n.URL)
		if err == nil {
			return c.Close()
		}
		select {
		case <-exited:
			return fmt.Errorf("the broker does not start: %s", n.Console())
		case <-tick.C:
			if time.Now().After(deadline) {
				return fmt.Errorf("the broker does not start in time: %w: %s", err, n.Console())
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Console is what the node has said last, 32 KiB at most.
func (n *Node) Console() string {
	b, err := os.ReadFile(filepath.Join(n.dir, "console"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-32<<10):])
}

// Kill ends the node at once, as kill -9 does, and waits for its end.
func (n *Node) Kill() {
	if n.server == nil {
		return
	}
	_ = syscall.Kill(-n.server.Process.Pid, syscall.SIGKILL) // it may have ended
	<-n.exited
	_ = n.startLog.Close()
	n.server = nil
}

// Stop ends the node as an administrator does, and waits for its end.
func (n *Node) Stop() error {
	if err := n.server.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-n.exited
	n.Kill() // what it has started
	return nil
}

// Close ends the node and its name service.
func (n *Node) Close() {
	n.Kill()
	_ = n.epmd.Process.Kill() // it may have ended
	_ = n.epmd.Wait()
}

// Ctl runs rabbitmqctl, and gives what it prints.
func (n *Node) Ctl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(n.bin, "rabbitmqctl"), append([]string{"--node", "bellhop@localhost", "--quiet"}, args...)...)
	cmd.Env = n.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
