package natstest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// processEnv holds, in a child of a test binary, the options of the server
// that it is to be.
const processEnv = "BELLHOP_TEST_SERVER"

// Process is a NATS server in a process of its own, which can be killed.
type Process struct {
	// URL is where it listens, on the loopback interface.
	URL  string
	t    testing.TB
	opts ProcessOptions
	cmd  *exec.Cmd
	in   io.Closer
}

// ProcessOptions are what a Process may be told.
type ProcessOptions struct {
	// Dir is its store; empty means one of the test's own.
	Dir string
	// Sync syncs every write to disk.
	Sync bool
	// Port is where it listens; 0 means any free one, which it keeps.
	Port int
	// Name, ClusterPort and Routes make it one of a cluster: see StartCluster.
	Name        string
	ClusterPort int
	Routes      []string
}

// StartProcess starts a server as a child process: the test binary itself,
// whose TestMain must be Main. The test's end kills it.
func StartProcess(t testing.TB, o ProcessOptions) *Process {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	p := &Process{t: t, opts: o}
	p.Up()
	t.Cleanup(p.Kill)
	return p
}

// StartCluster starts so many server processes as one cluster. It may take a
// few seconds until the cluster's JetStream has a leader.
func StartCluster(t testing.TB, size int) []*Process {
	t.Helper()
	options := make([]ProcessOptions, size)
	var routes []string
	for i := range options {
		options[i] = ProcessOptions{Name: fmt.Sprintf("n%d", i+1), ClusterPort: freePort(t)}
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", options[i].ClusterPort))
	}
	procs := make([]*Process, size)
	for i, o := range options {
		o.Routes = routes
		procs[i] = StartProcess(t, o)
	}
	return procs
}

// freePort gives a port that nobody listened on a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Name is the server's name in a cluster.
func (p *Process) Name() string { return p.opts.Name }

// Up starts the server on what the one before has stored.
func (p *Process) Up() {
	p.t.Helper()
	opts, err := json.Marshal(p.opts)
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0], "-test.run=^$")
	p.cmd.Env = append(os.Environ(), processEnv+"="+string(opts))
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe() // its end is the child's end
	if err != nil {
		p.t.Fatal(err)
	}
	p.in = in
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatalf("the server process does not start: %v", err)
	}
	p.URL = strings.TrimSpace(line)
	if _, err := fmt.Sscanf(p.URL, "nats://127.0.0.1:%d", &p.opts.Port); err != nil {
		p.t.Fatalf("the server process says %q", line)
	}
}

// Kill ends the server at once, as kill -9 does, and waits for its end.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.in.Close()
	_ = p.cmd.Wait() // it was killed, and says so
	p.cmd = nil
}

// beServer is what a child does instead of running tests.
func beServer(options string) {
	var o ProcessOptions
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		panic(err)
	}
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	opts := &server.Options{
		Host: "127.0.0.1", Port: o.Port, JetStream: true, StoreDir: o.Dir, JetStreamMaxStore: 1 << 40, SyncAlways: o.Sync, NoSigs: true, NoLog: true,
	}
	if o.ClusterPort > 0 {
		opts.ServerName, opts.Routes = o.Name, server.RoutesFromStr(strings.Join(o.Routes, ","))
		opts.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: o.ClusterPort}
	}
	s, err := server.NewServer(opts)
	if err != nil {
		panic(err)
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		panic("the server does not start")
	}
	fmt.Println(s.ClientURL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
}
