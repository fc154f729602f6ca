//go:build !unix

package command

import (
	"os"
	"os/exec"
)

// Where there are no process groups, a program is ended and what it has started
// is not; nor can it be asked to end.

func shell() []string { return []string{"cmd", "/C"} }

func separate(*exec.Cmd) {}

func terminate(p *os.Process) { kill(p) }

func kill(p *os.Process) { _ = p.Kill() } // an error means that it has ended

func alive(*os.Process) bool { return false }
