package nacos

import (
	"crypto/md5"
	"encoding/hex"
	"sync"
)

// digests remember the md5 of contents by their checksum, so that a content is hashed once and not at each poll of each client. What is under
// a checksum never changes. The zero value is ready.
type digests struct {
	mu sync.RWMutex
	// When young is full it becomes old, and what old held is forgotten unless it was used meanwhile.
	young, old map[string]string
}

// maxDigests bounds each of the two generations: some 2 MB.
const maxDigests = 10_000

// of returns the md5 of a content in lower hex.
func (d *digests) of(checksum string, content []byte) string {
	d.mu.RLock()
	known, young := d.young[checksum]
	if !young {
		known = d.old[checksum]
	}
	d.mu.RUnlock()
	if young {
		return known
	}
	if known == "" {
		known = md5Of(content)
	}
	if checksum == "" {
		return known
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.young == nil || len(d.young) >= maxDigests {
		d.young, d.old = make(map[string]string), d.young
	}
	d.young[checksum] = known
	return known
}

// md5Of is no protection of anything: it is how Nacos's clients tell contents apart.
func md5Of(content []byte) string {
	sum := md5.Sum(content)
	return hex.EncodeToString(sum[:])
}
