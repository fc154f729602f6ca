package main

import "syscall"

// dieWithParent has the kernel end a child whose parent was killed.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
