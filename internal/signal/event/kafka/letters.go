package kafka

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/gantry-platform/gantry/internal/signal/event"
)

// maxLetters bounds the dead-letter file. When it is full it becomes PATH.1, and the one before is dropped.
const maxLetters = 64 << 20

// deadLetters is a file of what Kafka refused for good.
type deadLetters struct {
	path string
	file *os.File
	size int64
	torn bool
}

type letter struct {
	At     time.Time       `json:"at"`
	Reason string          `json:"reason"`
	Event  json.RawMessage `json:"event"`
}

func openLetters(path string) (*deadLetters, error) {
	d := &deadLetters{path: path}
	return d, d.open()
}

func (d *deadLetters) open() error {
	file, err := os.OpenFile(d.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	d.file, d.size = file, info.Size()
	if d.size > 0 {
		// A line that a crash cut short is ended, so that the next one stands alone.
		last := make([]byte, 1)
		if _, err := file.ReadAt(last, d.size-1); err != nil {
			return errors.Join(err, file.Close())
		}
		d.torn = last[0] != '\n'
	}
	return nil
}

func (d *deadLetters) add(e *event.Stored, reason error) error {
	if d.size >= maxLetters {
		if err := d.turn(); err != nil {
			return err
		}
	}
	encoded, err := e.Encode()
	if err != nil {
		return err
	}
	line, err := json.Marshal(letter{At: time.Now().UTC(), Reason: reason.Error(), Event: encoded})
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if d.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := d.file.Write(line)
	d.size += int64(n)
	d.torn = err != nil && n > 0
	return err
}

func (d *deadLetters) turn() error {
	if err := d.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(d.path, d.path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.open()
}

func (d *deadLetters) sync() error { return d.file.Sync() }

func (d *deadLetters) close() error { return d.file.Close() }
