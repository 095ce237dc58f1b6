package state

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/gantry-platform/gantry/internal/fault"
)

// A backup is logical: every record under the prefix as of one revision. So it moves between an embedded and an external etcd, and between
// versions of etcd. It is a gzip stream of one JSON line, the records (each key and value behind its length as
// an unsigned varint), an empty key, and one JSON line with count and checksum.
//
// Live nodes are left out: they belong to the moment. Data keys come along as they are stored, wrapped; whoever restores
// needs the root key.

type backupHeader struct {
	Product  string    `json:"product"`
	Format   int       `json:"format"`
	Cluster  string    `json:"cluster"`
	Revision int64     `json:"revision"`
	Taken    time.Time `json:"taken"`
}

type backupTrailer struct {
	Records int    `json:"records"`
	SHA256  string `json:"sha256"`
}

const maxBackupField = 4 << 20

// Backup writes a consistent copy of the whole state. It reads by pages of one revision; when that is compacted away
// meanwhile, after many thousand changes, it fails and can be called again.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	first, err := s.client.Get(ctx, s.root, clientv3.WithRange(end(s.root)), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	if err != nil {
		return s.translateRead(err)
	}
	revision := first.Header.Revision
	zipped := gzip.NewWriter(w)
	header, err := json.Marshal(backupHeader{Product: "gantry", Format: FormatVersion, Cluster: s.clusterID, Revision: revision,
		Taken: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	sum := sha256.New()
	out := bufio.NewWriter(io.MultiWriter(zipped, sum))
	if _, err := out.Write(append(header, '\n')); err != nil {
		return err
	}
	records := 0
	from, until := s.root, end(s.root)
	for {
		page, err := s.client.Get(ctx, from, clientv3.WithRange(until), clientv3.WithLimit(pageSize), clientv3.WithRev(revision))
		if err != nil {
			return s.translateRead(err)
		}
		for _, kv := range page.Kvs {
			key := string(kv.Key[len(s.root):])
			if strings.HasPrefix(key, "node/") {
				continue
			}
			writeField(out, []byte(key))
			writeField(out, kv.Value)
			records++
		}
		if !page.More {
			break
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
	writeField(out, nil)
	if err := out.Flush(); err != nil {
		return err
	}
	trailer, err := json.Marshal(backupTrailer{Records: records, SHA256: hex.EncodeToString(sum.Sum(nil))})
	if err != nil {
		return err
	}
	if _, err := zipped.Write(append(trailer, '\n')); err != nil {
		return err
	}
	return zipped.Close()
}

func writeField(w *bufio.Writer, data []byte) {
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(len(data)))
	// A bufio.Writer keeps its first error for Flush.
	_, _ = w.Write(length[:n])
	_, _ = w.Write(data)
}

func errBackup(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "backup.unreadable", format, args...).At("from").
		Hinted("the file is cut or damaged, or not a backup; nothing of it was taken")
}

// ReadBackup reads a backup to its end and hands every record to take. It answers only after the checksum: whoever must
// not act on a damaged file calls it once with a take that does nothing.
func ReadBackup(r io.Reader, take func(key string, value []byte) error) (records int, err error) {
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return 0, errBackup("the file is not a backup: %v", err)
	}
	sum := sha256.New()
	in := bufio.NewReader(zipped)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, errBackup("the head is missing: %v", err)
	}
	sum.Write(line)
	var header backupHeader
	if err := json.Unmarshal(line, &header); err != nil || header.Product != "gantry" {
		return 0, errBackup("the file is not a backup of Gantry")
	}
	if header.Format > FormatVersion {
		return 0, errNewer("the backup", header.Format).At("from")
	}
	for {
		key, err := readField(in, sum)
		if err != nil {
			return records, err
		}
		if len(key) == 0 {
			break
		}
		value, err := readField(in, sum)
		if err != nil {
			return records, err
		}
		if err := take(string(key), value); err != nil {
			return records, err
		}
		records++
	}
	last, err := in.ReadSlice('\n')
	if err != nil {
		return records, errBackup("the end is missing: %v", err)
	}
	var trailer backupTrailer
	if err := json.Unmarshal(last, &trailer); err != nil {
		return records, errBackup("the end cannot be read: %v", err)
	}
	// gzip checks its own sum only where it ends.
	if _, err := in.ReadByte(); err != io.EOF {
		return records, errBackup("something is wrong behind the end: %v", err)
	}
	if trailer.Records != records || trailer.SHA256 != hex.EncodeToString(sum.Sum(nil)) {
		return records, errBackup("the checksum does not fit")
	}
	return records, nil
}

func readField(in *bufio.Reader, sum io.Writer) ([]byte, error) {
	length, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, errBackup("cut off: %v", err)
	}
	if length > maxBackupField {
		return nil, errBackup("a record of %d bytes", length)
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, errBackup("cut off: %v", err)
	}
	var prefix [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(prefix[:], length)
	_, _ = sum.Write(prefix[:n])
	_, _ = sum.Write(data)
	return data, nil
}

// Restore fills an empty state from a backup, before [Store.Start]. progress, if not nil, is told the records so far.
// A restore that was cut off leaves a state that says so and that cannot be started: remove it and restore again.
func (s *Store) Restore(ctx context.Context, r io.Reader, progress func(records int)) (int, error) {
	if _, err := s.awaitQuorum(ctx); err != nil {
		return 0, err
	}
	existing, err := s.client.Get(ctx, s.root, clientv3.WithRange(end(s.root)), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	if err != nil {
		return 0, s.translateRead(err)
	}
	if len(existing.Kvs) > 0 {
		return 0, fault.New(fault.Precondition, "backup.not_empty", "the state that would be restored into is not empty").At("data").
			Hinted("restore into a new data folder, or another --etcd-prefix")
	}
	// The format is written last: until then it is unreadable on purpose.
	if _, err := s.client.Put(ctx, s.root+formatKey, `{"restoring":true}`); err != nil {
		return 0, s.translate(err)
	}
	var format []byte
	var operations []clientv3.Op
	size, done := 0, 0
	flush := func() error {
		if len(operations) == 0 {
			return nil
		}
		if _, err := s.client.Txn(ctx).Then(operations...).Commit(); err != nil {
			return s.translate(err)
		}
		done += len(operations)
		operations, size = operations[:0], 0
		if progress != nil {
			progress(done)
		}
		return nil
	}
	records, err := ReadBackup(r, func(key string, value []byte) error {
		if key == formatKey {
			format = value
			return nil
		}
		if len(operations) >= 64 || size+len(value) > externalBatchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		operations = append(operations, clientv3.OpPut(s.root+key, string(value)))
		size += len(key) + len(value)
		return nil
	})
	if err := errors.Join(err, flush()); err != nil {
		return records, err
	}
	if format == nil {
		return records, errBackup("the backup does not say its format")
	}
	if _, err := s.client.Put(ctx, s.root+formatKey, string(format)); err != nil {
		return records, fmt.Errorf("state: %w", s.translate(err))
	}
	return records, nil
}
