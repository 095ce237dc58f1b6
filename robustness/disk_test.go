//go:build linux

package robustness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const mebibyte = 1 << 20

// disk is a small file system of its own, in memory.
type disk struct {
	t    *testing.T
	path string
}

// newDisk mounts one of a size in MiB.
func newDisk(t *testing.T, size int) *disk {
	t.Helper()
	requireRoot(t)
	path := filepath.Join(os.TempDir(), fmt.Sprintf("%s%d-disk%d", namespacePrefix, os.Getpid(), suite.numbers.Add(1)))
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("gantry-robustness", path, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", size)); err != nil {
		os.Remove(path)
		if os.Getenv("GANTRY_REQUIRE_NETNS") == "1" {
			t.Fatalf("cannot mount: %v", err)
		}
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() { removeDisk(path) })
	return &disk{t: t, path: path}
}

func removeDisk(path string) {
	if err := errors.Join(unix.Unmount(path, unix.MNT_DETACH), os.Remove(path)); err != nil {
		fmt.Fprintf(os.Stderr, "remove the disk %s: %v\n", path, err)
	}
}

// removeLeftDisks removes those of runs that crashed.
func removeLeftDisks(alive func(pid string) bool) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "gantry-robustness" {
			continue
		}
		rest, ours := strings.CutPrefix(filepath.Base(fields[1]), namespacePrefix)
		if pid, _, _ := strings.Cut(rest, "-"); ours && !alive(pid) {
			removeDisk(fields[1])
		}
	}
}

// free is the room that is left, in bytes.
func (d *disk) free() int64 {
	d.t.Helper()
	var stat unix.Statfs_t
	if err := unix.Statfs(d.path, &stat); err != nil {
		d.t.Fatal(err)
	}
	return int64(stat.Bavail) * stat.Bsize
}

// fill takes room until so many bytes are left.
func (d *disk) fill(left int64) {
	d.t.Helper()
	file, err := os.OpenFile(filepath.Join(d.path, "filler"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, mebibyte)
	for {
		room := d.free() - left
		if room <= 0 {
			return
		}
		_, err := file.Write(block[:min(room, mebibyte)])
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *disk) clear() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.path, "filler")); err != nil {
		d.t.Fatal(err)
	}
}

// newDiskNode starts a node on a small disk. etcd has laid out two segments of its log of 64 MiB when it is ready.
func newDiskNode(t *testing.T) (*disk, *node) {
	t.Helper()
	d := newDisk(t, 320)
	n := newNode(t, "n1", "--authentication", "off", "--minimum-free", "64MiB")
	n.data = filepath.Join(d.path, "data")
	n.start()
	n.awaitReady()
	return d, n
}

// TestFreshNodeWithoutRoom starts on a disk that does not hold the log that etcd lays out: it says so, and leaves the folder to a start with more room.
func TestFreshNodeWithoutRoom(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 192)
	d.fill(50 * mebibyte)
	n := newNode(t, "n1", "--authentication", "off", "--minimum-free", "8MiB")
	n.data = filepath.Join(d.path, "data")
	n.start()
	if code, said := n.awaitExit(10 * time.Second); code == 0 || !strings.Contains(said, "starting needs") || strings.Contains(said, "panic") {
		t.Fatalf("it ended with %d and said\n%s", code, said)
	}
	d.clear()
	n.start()
	n.awaitReady()
}

// TestDiskNearlyFull takes room until less than the minimum is left: the node refuses to write, reads on, and goes on by itself.
func TestDiskNearlyFull(t *testing.T) {
	t.Parallel()
	d, n := newDiskNode(t)
	l := startLoad(t, []*node{n})
	l.awaitProgress(10*time.Second, n)
	d.fill(40 * mebibyte)
	awaitDiskFull(t, n)
	if _, err := n.api.releases.Get(t.Context(), &gantryv1.GetRequest{Ref: configRef(documentName(0))}); err != nil {
		t.Errorf("a read with a disk that is nearly full: %v", err)
	}
	d.clear()
	n.awaitReady()
	l.awaitProgress(15*time.Second, n)
	n.kill()
	n.start()
	n.awaitReady()
	l.awaitProgress(15*time.Second, n)
	l.check([]*node{n})
}

// awaitDiskFull waits until a publish is refused for want of room.
func awaitDiskFull(t *testing.T, n *node) {
	t.Helper()
	count := 0
	eventually(t, 10*time.Second, func(ctx context.Context) error {
		count++
		_, err := n.api.releases.Publish(ctx, &gantryv1.PublishRequest{Ref: configRef("filler.txt"), Format: "text",
			Content: fmt.Appendf(nil, "%d", count), Release: true})
		if reasonOf(err) != "state.disk_full" {
			return fmt.Errorf("a publish with a disk that is nearly full: %v", err)
		}
		return nil
	})
	answer, err := n.api.readiness(t.Context())
	if err != nil || !answer.Ready || answer.Unwritable == "" {
		t.Errorf("readiness with a disk that is nearly full: %+v, %v", answer, err)
	}
}

// TestDiskFullAtOnce takes all the room there is, faster than the node looks, while clients write. Whether the node bears it or ends, what
// was acknowledged is there when there is room again.
func TestDiskFullAtOnce(t *testing.T) {
	t.Parallel()
	d, n := newDiskNode(t)
	l := startLoad(t, []*node{n})
	l.awaitProgress(10*time.Second, n)
	d.fill(0)
	n.awaitFullOrEnded()
	n.kill()

	// It does not start without room, or it starts and does not write; it never breaks what is there.
	n.start()
	n.awaitFullOrEnded()
	n.kill()

	d.clear()
	n.start()
	n.awaitReady()
	l.awaitProgress(15*time.Second, n)
	l.check([]*node{n})
}

// awaitFullOrEnded waits until the node says that it cannot write, or has ended and said why.
func (n *node) awaitFullOrEnded() {
	n.t.Helper()
	eventually(n.t, 20*time.Second, func(ctx context.Context) error {
		if !n.running() {
			if said := n.tail(20); !strings.Contains(said, "no space left") && !strings.Contains(said, "disk") {
				n.t.Errorf("it ended on a full disk and did not say so:\n%s", said)
			}
			return nil
		}
		answer, err := n.api.readiness(ctx)
		if err == nil && (!answer.Ready || answer.Unwritable == "") {
			err = fmt.Errorf("a full disk and %+v", answer)
		}
		return err
	})
}
