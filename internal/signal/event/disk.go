package event

import "syscall"

// freeOf is the room on a folder's disk. When the system does not say, it is taken for endless: writing will tell.
func freeOf(folder string) uint64 {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(folder, &stat); err != nil {
		return 1 << 62
	}
	return stat.Bavail * uint64(stat.Bsize)
}
