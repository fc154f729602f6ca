package rabbit

import "syscall"

// child is a process in a group of its own, which ends with this one,
// however that ends.
func child() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
