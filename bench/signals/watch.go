package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/process"
)

// watchMemory looks at a server's memory until the returned function is called, which tells the most that it saw.
func watchMemory(server process.Measured) func() process.Memory {
	done, answer := make(chan struct{}), make(chan process.Memory, 1)
	go func() {
		var peak process.Memory
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			if m, err := server.Memory(); err == nil && m.Resident > peak.Resident {
				peak = m
			}
			select {
			case <-ticker.C:
			case <-done:
				answer <- peak
				return
			}
		}
	}()
	return func() process.Memory { close(done); return <-answer }
}

const (
	// quietWindow and quietCPU say when a process is idle: it computes no more than that in such a time. Java's has work to do even then.
	quietWindow = time.Second
	quietCPU    = 50 * time.Millisecond
	// settleTimeout bounds how long a server may go on with what it has acknowledged.
	settleTimeout = 10 * time.Minute
)

// idle waits until a process computes next to nothing, and tells since when.
func idle(ctx context.Context, p process.Measured) (time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, errors.New("the server does not come to rest"))
	defer cancel()
	since := time.Now()
	last, err := p.CPUTime()
	for err == nil {
		select {
		case <-time.After(quietWindow):
		case <-ctx.Done():
			return since, context.Cause(ctx)
		}
		var now time.Duration
		if now, err = p.CPUTime(); now-last < quietCPU {
			return since, err
		}
		last, since = now, time.Now()
	}
	return since, err
}

// until asks every tenth of a second whether something is so, and tells when it was.
func until(ctx context.Context, so func(ctx context.Context) (bool, error)) (time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, errors.New("the server does not finish what it has acknowledged"))
	defer cancel()
	for {
		done, err := so(ctx)
		if done || err != nil {
			return time.Now(), err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return time.Now(), context.Cause(ctx)
		}
	}
}

// folderSize is what the files in a folder take on the disk. Some are made long beforehand and filled bit by bit: blocks count, not lengths.
func folderSize(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var about syscall.Stat_t
		if err := syscall.Lstat(path, &about); err != nil {
			return err
		}
		size += about.Blocks * 512 // the unit of stat(2), whatever the file system's is
		return nil
	})
	return size, err
}
