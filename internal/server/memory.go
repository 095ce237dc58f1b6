package server

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What the collector is told. Go's default lets garbage grow to the size of what is alive, so that a small server under load collects many
// times a second. Measured: with 64 MiB of room at least, registrations cost a fifth less CPU; more brings little. A large server keeps
// Go's own measure while it works and gives the garbage back when it is quiet.
const (
	garbageRoom        = 64 << 20
	leastGCPercent     = 100
	mostGCPercent      = 400
	memoryInterval     = time.Second
	quietBytes         = 4 << 20  // allocated in an interval: below it nothing much happens
	quietIntervals     = 10       // so many in a row before memory is given back
	worthGivingBack    = 16 << 20 // garbage and free pages together
	givingBackInterval = 30 * time.Second
)

// KeepMemory tunes the garbage collector of this process until ctx ends: room for garbage while there is work, and memory given back to
// the system when it is quiet. It is for the process's owner to call, since it changes what is the whole process's. Where GOGC or
// GOMEMLIMIT is set the operator has decided, and it does nothing.
func KeepMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	ticker := time.NewTicker(memoryInterval)
	defer ticker.Stop()
	var allocated uint64
	var percent, quiet int
	var given time.Time
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(samples)
		live, total := samples[0].Value.Uint64(), samples[1].Value.Uint64()
		if p := gcPercent(live); p != percent {
			debug.SetGCPercent(p)
			percent = p
		}
		if total-allocated < quietBytes {
			quiet++
		} else {
			quiet = 0
		}
		allocated = total
		spare := samples[2].Value.Uint64() - min(live, samples[2].Value.Uint64()) + samples[3].Value.Uint64() + samples[4].Value.Uint64()
		if quiet >= quietIntervals && spare > worthGivingBack && time.Since(given) > givingBackInterval {
			debug.FreeOSMemory()
			given, quiet = time.Now(), 0
		}
	}
}

// gcPercent gives garbage its room beside what is alive.
func gcPercent(live uint64) int {
	return int(min(max(garbageRoom*100/max(live, 1), leastGCPercent), mostGCPercent))
}
