package main

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBenchInterrupted interrupts a bench, or kills it, while all its parts run,
// and finds none of them afterwards, nor their files. It is for Linux, which shows
// other processes' children, and tells of their end.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		signal syscall.Signal
		more   []string
	}{
		{"interrupt", syscall.SIGINT, nil},
		{"kill", syscall.SIGKILL, nil},
		{"kill cluster", syscall.SIGKILL, []string{"--mode", "r3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			p := start(t, benchEnvironment(t), append([]string{"bench", "failover", "--scale", "0.009", "--data", data}, tt.more...)...)
			p.awaitError(t, `kill 1 of`)
			parts := children(t, p.Process.Pid)
			if len(parts) < 2 { // a server and a scheduler
				t.Fatalf("its processes are %v", parts)
			}
			if err := p.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			if code := p.exits(); code == 0 {
				t.Errorf("it exits with %d", code)
			}
			for pid, fd := range parts {
				if !ends(t, fd) {
					t.Errorf("process %d goes on", pid)
				}
			}
			empty(t, data)
		})
	}
}

// children are the processes that a process has started, each with a file descriptor
// that stands for it, also when it is gone.
func children(t *testing.T, parent int) map[int]int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	fds := map[int]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !slices.Contains(status(pid), "PPid:\t"+strconv.Itoa(parent)) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) { // it has just ended
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) }) // it was only waited for
		fds[pid] = fd
	}
	return fds
}

// ends waits until a process has ended, for a minute at most.
func ends(t *testing.T, fd int) bool {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(time.Until(deadline).Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			if err != nil {
				t.Fatal(err)
			}
			return n > 0
		}
	}
}

// status is what the kernel says of a process, nothing if there is none.
func status(pid int) []string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return nil
	}
	return strings.Split(string(b), "\n")
}
