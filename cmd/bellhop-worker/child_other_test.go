//go:build unix && !linux

package main_test

import "syscall"

// child is a process that ends with the tests, unless these are killed.
func child() *syscall.SysProcAttr { return nil }
