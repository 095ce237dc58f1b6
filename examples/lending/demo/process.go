package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// stopTimeout bounds how long a process may take to stop after it was asked to: a service drains for at most 10 s and answers what is under
// way for at most 10 s more.
const stopTimeout = 25 * time.Second

// process is a program that is kept running.
type process struct {
	name string
	path string
	args []string
	env  []string
	// out is where its output goes; nil: where its log goes.
	out io.Writer
	log string
	// pause is how long it stays away when it has ended by itself.
	pause time.Duration

	command *exec.Cmd
	began   time.Time
	// ended is closed after the process has ended; err is then how.
	ended chan struct{}
	err   error
	// quick counts ends soon after the start, in a row.
	quick int
}

// start starts the process, and tells a channel when it has ended.
func (p *process) start(ended chan<- *process) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// The process has its own handle.
	defer log.Close()
	command := exec.Command(p.path, p.args...)
	command.Env = append(os.Environ(), p.env...)
	command.Stdout, command.Stderr = log, log
	if p.out != nil {
		command.Stdout = p.out
	}
	command.SysProcAttr = attributes()
	if err := command.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.command, p.began, p.err = command, time.Now(), nil
	done := make(chan struct{})
	p.ended = done
	go func() {
		p.err = command.Wait()
		close(done)
		ended <- p
	}()
	return nil
}

// running reports whether it was started and has not ended.
func (p *process) running() bool {
	if p.ended == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// stop asks the process to stop, and kills it when it does not, or when kill is closed. It returns what the process ended with.
func (p *process) stop(kill <-chan struct{}) error {
	if p.ended == nil {
		return nil
	}
	if p.running() {
		// It may have ended just now.
		_ = terminate(p.command.Process)
	}
	limit := time.NewTimer(stopTimeout)
	defer limit.Stop()
	select {
	case <-p.ended:
		return p.err
	case <-limit.C:
	case <-kill:
	}
	_ = p.command.Process.Kill()
	<-p.ended
	return fmt.Errorf("%s did not stop and was killed", p.name)
}

// how says how the process ended.
func (p *process) how() string {
	if p.err == nil {
		return "ended by itself"
	}
	return "ended: " + p.err.Error()
}

// lastWords are the last lines of the process's log, for an error.
func (p *process) lastWords() string {
	const lines = 5
	log, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer log.Close()
	// The end is enough: a log can be long.
	const tail = 8 << 10
	if info, err := log.Stat(); err == nil && info.Size() > tail {
		if _, err := log.Seek(-tail, io.SeekEnd); err != nil {
			return ""
		}
	}
	var last []string
	scanner := bufio.NewScanner(log)
	for scanner.Scan() {
		if last = append(last, "  "+p.name+": "+scanner.Text()); len(last) > lines {
			last = last[1:]
		}
	}
	if len(last) == 0 {
		return ""
	}
	return "\n" + strings.Join(last, "\n")
}

// programAt makes a path absolute and finds out early that nothing is there.
func programAt(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := exec.LookPath(absolute); err != nil {
		return "", fmt.Errorf("%s cannot be run: %w\n  make demo builds what is needed; it runs in the checkout's folder", path, cause(err))
	}
	return absolute, nil
}

// cause is an error without the path that it repeats.
func cause(err error) error {
	var lookup *exec.Error
	if errors.As(err, &lookup) {
		return lookup.Err
	}
	return err
}
