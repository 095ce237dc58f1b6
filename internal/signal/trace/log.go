package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
)

// A log segment is the file wal/<number>.wal: a header, then frames
//
//	magic "GTF1", length of the payload, CRC-32C of the payload (all 4 bytes, little endian), payload
//
// and a payload is the arrival (8 bytes), the length of the namespace (1 byte), the namespace, and the request compressed by S2. The magic lets the
// frames behind a damaged place be found.
const (
	segmentMagic    = "GANTRYW1"
	frameMagic      = 0x31465447 // "GTF1"
	frameHeader     = 12
	segmentSuffix   = ".wal"
	maxFramePayload = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is one batch in the log.
type record struct {
	arrived   time.Time
	namespace string
	raw       []byte
}

func appendFrame(to []byte, r record) []byte {
	start := len(to)
	to = append(to, make([]byte, frameHeader)...)
	to = binary.LittleEndian.AppendUint64(to, uint64(r.arrived.UnixNano()))
	to = append(to, byte(len(r.namespace)))
	to = append(to, r.namespace...)
	body := len(to)
	to = append(to, make([]byte, s2.MaxEncodedLen(len(r.raw)))...)
	compressed := s2.Encode(to[body:], r.raw)
	to = to[:body+len(compressed)]
	payload := to[start+frameHeader:]
	binary.LittleEndian.PutUint32(to[start:], frameMagic)
	binary.LittleEndian.PutUint32(to[start+4:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(to[start+8:], crc32.Checksum(payload, castagnoli))
	return to
}

var errPayload = errors.New("trace: the payload of a frame is damaged")

func readPayload(payload []byte) (record, error) {
	if len(payload) < 9 || len(payload) < 9+int(payload[8]) {
		return record{}, errPayload
	}
	end := 9 + int(payload[8])
	size, err := s2.DecodedLen(payload[end:])
	if err != nil || size > maxFramePayload {
		return record{}, errPayload
	}
	raw, err := s2.Decode(nil, payload[end:])
	if err != nil {
		return record{}, errPayload
	}
	return record{arrived: time.Unix(0, int64(binary.LittleEndian.Uint64(payload))), namespace: string(payload[9:end]), raw: raw}, nil
}

// damage says what of a segment could not be read.
type damage struct {
	places int
	bytes  int64
	// torn: the last bytes are no whole frame, which is what a crash during a write leaves. Such a write was never acknowledged.
	torn bool
}

// readSegment calls each for the batches of a segment in order. What cannot be read is skipped up to the next whole frame.
func readSegment(path string, each func(record) error) (damage, error) {
	var d damage
	data, err := os.ReadFile(path)
	if err != nil {
		return d, err
	}
	if len(data) < len(segmentMagic) || string(data[:len(segmentMagic)]) != segmentMagic {
		d.torn = len(data) < len(segmentMagic)
		d.places, d.bytes = 1, int64(len(data))
		if d.torn {
			return d, nil
		}
	} else {
		data = data[len(segmentMagic):]
	}
	for len(data) > 0 {
		r, size, ok := readFrame(data)
		if ok {
			if err := each(r); err != nil {
				return d, err
			}
			data = data[size:]
			continue
		}
		next := nextFrame(data[1:]) + 1
		d.places++
		if next == 0 {
			d.bytes += int64(len(data))
			d.torn = true
			return d, nil
		}
		d.bytes += int64(next)
		data = data[next:]
	}
	return d, nil
}

func readFrame(data []byte) (record, int, bool) {
	if len(data) < frameHeader || binary.LittleEndian.Uint32(data) != frameMagic {
		return record{}, 0, false
	}
	length := int64(binary.LittleEndian.Uint32(data[4:]))
	if length > maxFramePayload || length > int64(len(data)-frameHeader) {
		return record{}, 0, false
	}
	payload := data[frameHeader : frameHeader+length]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(data[8:]) {
		return record{}, 0, false
	}
	r, err := readPayload(payload)
	return r, frameHeader + int(length), err == nil
}

// nextFrame finds the next whole frame, or -1.
func nextFrame(data []byte) int {
	magic := binary.LittleEndian.AppendUint32(nil, frameMagic)
	at := 0
	for {
		i := strings.Index(string(data[at:min(len(data), at+64<<10)]), string(magic))
		switch {
		case i >= 0:
			if _, _, ok := readFrame(data[at+i:]); ok {
				return at + i
			}
			at += i + 1
		case at+64<<10 >= len(data):
			return -1
		default:
			at += 64<<10 - len(magic) + 1
		}
	}
}

// segment is an open log file. Only the committer writes it.
type segment struct {
	number uint64
	file   *os.File
	size   int64
	// broken: the disk failed to sync, or to cut off half a write. What it holds of the last write is unknown, so nothing may follow it.
	broken bool
}

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016d%s", number, segmentSuffix))
}

func createSegment(dir string, number uint64) (*segment, error) {
	file, err := os.OpenFile(segmentPath(dir, number), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	s := &segment{number: number, file: file}
	if err := s.write([]byte(segmentMagic)); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	if err := syncDir(dir); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// write appends and syncs. After an error the file ends where it ended before, so that the next frame does not follow half a one; if that fails too, nothing
// may follow.
func (s *segment) write(frames []byte) error {
	if _, err := s.file.WriteAt(frames, s.size); err != nil {
		if cut := s.file.Truncate(s.size); cut != nil {
			s.broken = true
			err = errors.Join(err, cut)
		}
		return err
	}
	if err := syncData(s.file); err != nil {
		s.broken = true
		return err
	}
	s.size += int64(len(frames))
	return nil
}

func (s *segment) close() error { return s.file.Close() }

func (s *segment) remove() error {
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

// syncDir makes names in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
