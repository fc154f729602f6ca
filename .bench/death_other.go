//go:build !linux

package main

import "syscall"

// dieWithParent is for Linux; elsewhere a server outlives this program if that is
// killed with SIGKILL.
func dieWithParent(*syscall.SysProcAttr) {}
