//go:build !unix

package main

import (
	"os"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

// terminate ends a process at once: systems without signals have no gentler way.
func terminate(p *os.Process) error { return p.Kill() }
