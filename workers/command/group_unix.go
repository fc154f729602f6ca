//go:build unix

package command

import (
	"os"
	"os/exec"
	"syscall"
)

func shell() []string { return []string{"/bin/sh", "-c"} }

func separate(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// The errors of these mean that nobody is left to be told.

func terminate(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGTERM) }

func kill(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

func alive(p *os.Process) bool { return syscall.Kill(-p.Pid, 0) == nil }
