package event

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/gantry-platform/gantry/internal/signal"
)

const (
	frameHeader = 8
	// maxLine bounds an event as it is stored, with everything around what the sender said.
	maxLine = MaxEventBytes + 2048

	rawSuffix    = ".log"
	sealedSuffix = ".jsonl.zst"
	metaSuffix   = ".meta.json"
)

// frame appends an event as it stands in the newest segment.
func frame(to, line []byte) []byte {
	to = binary.LittleEndian.AppendUint32(to, uint32(len(line)))
	to = binary.LittleEndian.AppendUint32(to, crc32.Checksum(line, castagnoli()))
	return append(to, line...)
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // made once, by the library

// unframe reads frames until one is torn or damaged, and answers where the whole ones end.
func unframe(data []byte, each func(line []byte) bool) (whole int) {
	for {
		rest := data[whole:]
		if len(rest) < frameHeader {
			return whole
		}
		size := binary.LittleEndian.Uint32(rest)
		if size == 0 || size > maxLine || int(size) > len(rest)-frameHeader {
			return whole
		}
		line := rest[frameHeader : frameHeader+int(size)]
		if crc32.Checksum(line, castagnoli()) != binary.LittleEndian.Uint32(rest[4:]) {
			return whole
		}
		whole += frameHeader + int(size)
		if !each(line) {
			return whole
		}
	}
}

// segment is a part of a log. Meta, raw and size change under the log's lock.
type segment struct {
	folder string
	// number names its files.
	number uint64
	meta
	// raw: it is not sealed yet.
	raw  bool
	size int64
}

// meta is what a segment holds.
type meta struct {
	First   uint64    `json:"first"`
	Events  uint64    `json:"events"`
	Oldest  time.Time `json:"oldest"`
	Newest  time.Time `json:"newest"`
	Arrived time.Time `json:"arrived"` // of the last
	// Topics are namespaces and topics, joined by a slash, sorted.
	Topics []string `json:"topics"`
	// Traces is a bloom filter of trace ids.
	Traces bloom `json:"traces"`
}

// metaOf gathers what lines hold.
type metaBuilder struct {
	meta
	topics map[string]bool
	traces []uint64
}

func (b *metaBuilder) add(s *Stored) {
	if b.Events == 0 || s.Time.Before(b.Oldest) {
		b.Oldest = s.Time.UTC()
	}
	if b.Events == 0 || s.Time.After(b.Newest) {
		b.Newest = s.Time.UTC()
	}
	b.Arrived = s.Arrived.UTC()
	b.Events++
	if b.topics == nil {
		b.topics = map[string]bool{}
	}
	b.topics[s.Namespace+"/"+s.Topic] = true
	if !s.TraceID.IsZero() {
		b.traces = append(b.traces, xxhash.Sum64(s.TraceID[:]))
	}
}

func (b *metaBuilder) build() meta {
	m := b.meta
	m.Topics = make([]string, 0, len(b.topics))
	for topic := range b.topics {
		m.Topics = append(m.Topics, topic)
	}
	slices.Sort(m.Topics)
	m.Traces = newBloom(b.traces)
	return m
}

// bloom is a bloom filter of hashes: ten bits and seven probes each, one false answer in a hundred.
type bloom []byte

const bloomBits, bloomProbes = 10, 7

func newBloom(hashes []uint64) bloom {
	if len(hashes) == 0 {
		return nil
	}
	b := make(bloom, (len(hashes)*bloomBits+7)/8)
	for _, h := range hashes {
		for i := range uint64(bloomProbes) {
			bit := b.probe(h, i)
			b[bit/8] |= 1 << (bit % 8)
		}
	}
	return b
}

func (b bloom) probe(h, i uint64) uint64 { return (h + i*(h>>32|1)) % (uint64(len(b)) * 8) }

func (b bloom) has(id signal.TraceID) bool {
	if len(b) == 0 {
		return false
	}
	h := xxhash.Sum64(id[:])
	for i := range uint64(bloomProbes) {
		if bit := b.probe(h, i); b[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}

func (s *segment) path(suffix string) string {
	return filepath.Join(s.folder, fmt.Sprintf("%020d", s.number)+suffix)
}

// parseSegmentName reads the number of a file of the log.
func parseSegmentName(name, suffix string) (uint64, bool) {
	number, ok := strings.CutSuffix(name, suffix)
	if !ok || len(number) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(number, 10, 64)
	return n, err == nil && n > 0
}

// each calls a function with the lines of a segment, oldest first, until it answers false. A line is only good during the call.
func (s *segment) each(raw bool, do func(line []byte) bool) error {
	if raw {
		data, err := os.ReadFile(s.path(rawSuffix))
		if err == nil {
			unframe(data, do)
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// It has been sealed since the caller looked.
	}
	file, err := os.Open(s.path(sealedSuffix))
	if err != nil {
		return err
	}
	defer file.Close()
	decoder, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return err
	}
	defer decoder.Close()
	lines := bufio.NewScanner(decoder)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine+1)
	for lines.Scan() {
		if line := lines.Bytes(); len(line) > 0 && !do(line) {
			return nil
		}
	}
	return lines.Err()
}

// seal compresses a raw segment, and describes it. After a crash at any point it can be done again.
func (s *segment) seal() (described meta, size int64, err error) {
	temporary := s.path(sealedSuffix) + ".new"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return meta{}, 0, err
	}
	encoder, err := zstd.NewWriter(file, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return meta{}, 0, errors.Join(err, file.Close())
	}
	builder := metaBuilder{meta: meta{First: s.number}}
	var failed error
	err = s.each(true, func(line []byte) bool {
		stored, err := Decode(line)
		if err == nil {
			builder.add(&stored)
			_, err = encoder.Write(append(bytes.Clone(line), '\n'))
		}
		failed = err
		return err == nil
	})
	err = errors.Join(err, failed, encoder.Close(), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(temporary, s.path(sealedSuffix))
	}
	if err != nil {
		return meta{}, 0, errors.Join(err, ignoreMissing(os.Remove(temporary)))
	}
	described = builder.build()
	if err := errors.Join(s.describe(described), syncFolder(s.folder)); err != nil {
		return meta{}, 0, err
	}
	if err := os.Remove(s.path(rawSuffix)); err != nil {
		return meta{}, 0, err
	}
	info, err := os.Stat(s.path(sealedSuffix))
	if err != nil {
		return meta{}, 0, err
	}
	return described, info.Size(), nil
}

func (s *segment) describe(m meta) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return WriteFile(s.path(metaSuffix), data)
}

// scan describes a segment by reading it. What cannot be read is left out, and is an error beside the rest.
func (s *segment) scan(raw bool) (meta, error) {
	builder := metaBuilder{meta: meta{First: s.number}}
	err := s.each(raw, func(line []byte) bool {
		if stored, err := Decode(line); err == nil {
			builder.add(&stored)
		}
		return true
	})
	return builder.build(), err
}

// load finds out what a sealed segment holds: from its description, or by reading it.
func (s *segment) load() error {
	info, err := os.Stat(s.path(sealedSuffix))
	if err != nil {
		return err
	}
	s.size = info.Size()
	data, err := os.ReadFile(s.path(metaSuffix))
	var m meta
	if err == nil && json.Unmarshal(data, &m) == nil && m.First == s.number {
		s.meta = m
		return nil
	}
	m, err = s.scan(false)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("event: %s is damaged: %w", s.path(sealedSuffix), err)
	}
	s.meta = m
	return errors.Join(err, s.describe(m))
}

// remove takes the files away.
func (s *segment) remove() error {
	var errs []error
	for _, suffix := range []string{rawSuffix, sealedSuffix, metaSuffix} {
		errs = append(errs, ignoreMissing(os.Remove(s.path(suffix))))
	}
	return errors.Join(errs...)
}
