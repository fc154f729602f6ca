//go:build unix && !linux

package rabbit

import "syscall"

// child is a process in a group of its own.
func child() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
