package main_test

import "syscall"

// child is a process that ends with the tests, however these end.
func child() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
