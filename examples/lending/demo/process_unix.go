//go:build unix && !linux

package main

import (
	"os"
	"syscall"
)

// attributes put a process into a group of its own, so that a terminal's Ctrl-C comes to the demo alone, which stops all in order.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
