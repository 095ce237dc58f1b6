package state

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gantry-platform/gantry/internal/fault"
)

// FormatVersion is the version of what is stored. A server reads its own version and older ones; it refuses newer ones, because it would
// lose what it does not know. Version 2 came with keys: a server of version 1 would lose who holds a lock, and let sessions live for ever.
const FormatVersion = 2

// folderFile marks a folder as a node's data folder and holds the node's identity.
const folderFile = "gantry.json"

type identity struct {
	Product string `json:"product"`
	Format  int    `json:"format"`
	NodeID  string `json:"node_id"`

	lock *os.File
}

// claimFolder makes or opens a data folder and locks it for this process.
func claimFolder(dir string) (identity, error) {
	if dir == "" {
		return identity{}, errors.New("state: no data folder given")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return identity{}, fault.New(fault.Precondition, "state.folder_not_writable", "cannot make the data folder %s: %v", dir, err).
			At("data").Hinted("name a folder that this user may write with --data").Because(err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return identity{}, err
	}
	id, err := readIdentity(dir)
	if err != nil {
		lock.Close()
		return identity{}, err
	}
	id.lock = lock
	return id, nil
}

func (i identity) release() {
	if i.lock != nil {
		i.lock.Close() // which unlocks
	}
}

func lockFolder(dir string) (*os.File, error) {
	// Looked at before the lock file is made, so that a foreign folder stays untouched.
	if err := refuseForeign(dir); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.New(fault.Precondition, "state.folder_not_writable", "cannot write the data folder %s: %v", dir, err).
			At("data").Hinted("give this user the right to write it, or name another with --data").Because(err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fault.New(fault.Precondition, "state.folder_in_use", "the data folder %s is in use by another process", dir).
			At("data").Hinted("stop the other server, or name another folder with --data").Because(err)
	}
	return file, nil
}

func refuseForeign(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fault.New(fault.Precondition, "state.folder_not_readable", "cannot read the data folder %s: %v", dir, err).At("data").Because(err)
	}
	foreign := ""
	for _, entry := range entries {
		switch entry.Name() {
		case folderFile:
			return nil
		case "lock", "lost+found", "root.key", "cluster.secret", "tls", "admin-password":
			// what may be put there before the first start
		default:
			foreign = entry.Name()
		}
	}
	if foreign != "" {
		return fault.New(fault.Precondition, "state.folder_foreign", "the folder %s is not a data folder of Gantry: it holds %q and no %s", dir, foreign, folderFile).
			At("data").Hinted("name an empty folder with --data; this one was left as it is")
	}
	return nil
}

func readIdentity(dir string) (identity, error) {
	path := filepath.Join(dir, folderFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		id := identity{Product: "gantry", Format: FormatVersion, NodeID: randomID()}
		return id, writeIdentity(path, id)
	}
	if err != nil {
		return identity{}, fmt.Errorf("state: %w", err)
	}
	var id identity
	if err := json.Unmarshal(data, &id); err != nil || id.Product != "gantry" || id.NodeID == "" {
		return identity{}, fault.New(fault.Precondition, "state.folder_foreign", "%s is not what a server of Gantry writes", path).
			At("data").Hinted("restore the file from a backup, or name another folder with --data").Because(err)
	}
	if id.Format > FormatVersion {
		return identity{}, errNewer(fmt.Sprintf("the data folder %s", dir), id.Format)
	}
	return id, nil
}

func errNewer(what string, format int) *fault.Error {
	return fault.New(fault.Precondition, "state.newer_format", "%s has format %d; this server knows up to %d", what, format, FormatVersion).
		At("data").Hinted("run the newer version of gantry that wrote it; nothing was changed")
}

// writeIdentity writes the file whole or not at all.
func writeIdentity(path string, id identity) error {
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	_, err = file.Write(append(data, '\n'))
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return os.Rename(temporary, path)
}

func randomID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}
