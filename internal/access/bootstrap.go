package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// firstAdministrator is the name of the user that the first start makes.
const firstAdministrator = "admin"

// passwordRandom is how many random bytes the first password has: 160 bits, 32 characters.
const passwordRandom = 20

// Bootstrap makes sure that somebody can administer a new cluster. When no enabled user is an administrator of everything,
// it makes the user "admin" with a random password, and reports true. The password is in passwordFile,
// durable and readable by the server's user alone, before the user is. With authentication off it does nothing.
//
// Several nodes can start at once, with files of their own or with the same one: one of them makes the user, and the file
// with that user's password stays. A file that an earlier start left, before it could make the user, is used
// again. Call it after the store's start. Errors: Precondition with reason "access.bad_password_file" or
// "access.no_administrator", and those of the store.
func (m *Manager) Bootstrap(ctx context.Context, passwordFile string) (created bool, err error) {
	if m.disabled {
		return false, nil
	}
	ctx = NewContext(ctx, System("first start"))
	marker, _, err := m.store.Get(ctx, markerKey())
	if err != nil {
		return false, err
	}
	administrator, err := m.findAdministrator(ctx, "")
	if err != nil || administrator != nil {
		return false, err
	}
	password, made, err := keepPassword(passwordFile, randomWord(passwordRandom))
	if err != nil {
		return false, err
	}
	created, err = m.bootstrap(ctx, marker.Modified, password)
	switch {
	case created:
		m.log.Info("made the first administrator", "user", firstAdministrator, "password_file", passwordFile)
	case err != nil && !fault.Is(err, fault.Precondition):
		// The user may be there after all, with the password of the file.
	case made:
		err = errors.Join(err, m.dropPassword(ctx, passwordFile, password))
	}
	return created, err
}

func markerKey() string { return state.Key("meta", "administrator") }

// bootstrap makes the first administrator, unless another node has been here since the marker was read.
func (m *Manager) bootstrap(ctx context.Context, marker int64, password string) (bool, error) {
	record, err := m.newUser(ctx, firstAdministrator, password, []*gantryv1.Grant{{Namespace: everywhere, Role: gantryv1.Role_ROLE_ADMIN}})
	if err != nil {
		return false, err
	}
	change, err := createUser(ctx, record)
	if err != nil {
		return false, err
	}
	change.If = append(change.If, state.Unchanged(markerKey(), marker))
	change.Put = append(change.Put, state.Put{Key: markerKey(), Value: []byte(record.Created.UTC().Format(time.RFC3339))})
	revision, err := m.store.Commit(ctx, change)
	if errors.Is(err, state.ErrConflict) {
		administrator, err := m.findAdministrator(ctx, "")
		if err == nil && administrator == nil {
			err = fault.New(fault.Precondition, "access.no_administrator",
				"nobody may administer everything, and the user %q is there already", firstAdministrator).
				Hinted("start the server once with --dev and the same --data, and run `gantry user` to give a user the role admin on \"*\"")
		}
		return false, err
	}
	if err != nil {
		return false, err
	}
	m.await(ctx, revision)
	return true, nil
}

// keepPassword writes a password into a new file, or returns the one that is in the file already. The file appears whole or not
// at all, by a link, so that another node that shares it never reads half of it.
func keepPassword(path, password string) (kept string, made bool, err error) {
	folder := filepath.Dir(path)
	temporary, err := os.CreateTemp(folder, ".password-*") // mode 0600, exclusively
	if err != nil {
		return "", false, errPasswordFile(path, err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.WriteString(password + "\n")
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err != nil {
		return "", false, errPasswordFile(path, err)
	}
	err = os.Link(temporary.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		kept, err = readPassword(path)
		if err != nil {
			return "", false, errPasswordFile(path, err)
		}
		return kept, false, nil
	}
	if err == nil {
		err = syncFolder(folder)
	}
	if err != nil {
		return "", false, errPasswordFile(path, err)
	}
	return password, true, nil
}

// readPassword reads a file that keepPassword wrote, and refuses what another user could have written or seen.
func readPassword(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return "", errors.New("it is not a file of mode 0600")
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	opened, err := file.Stat()
	if err != nil {
		return "", err
	}
	if !os.SameFile(info, opened) {
		return "", errors.New("it was exchanged while it was read")
	}
	content, err := io.ReadAll(io.LimitReader(file, 1024))
	if err != nil {
		return "", err
	}
	password := strings.TrimSuffix(string(content), "\n")
	if len(password) != len(randomWord(passwordRandom)) {
		return "", errors.New("it holds something else")
	}
	return password, nil
}

// dropPassword removes the file of a node that came too late, unless the user was made with its password by
// another node that shares the file.
func (m *Manager) dropPassword(ctx context.Context, path, password string) error {
	record, found, err := m.store.Get(ctx, userKey(firstAdministrator))
	if err != nil {
		return err
	}
	if found {
		_, hash, err := decodeUser(record.Key, record.Value)
		if err != nil {
			return err
		}
		if same, err := m.verifier.hasher.matches(ctx, hash, password); same || err != nil {
			return err
		}
	}
	return os.Remove(path)
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func errPasswordFile(path string, cause error) error {
	return fault.New(fault.Precondition, "access.bad_password_file",
		"cannot keep the first administrator's password in %s: %s", path, cause).
		Hinted("name a file that is not there yet, in a folder that the server can write, on a file system with links").
		Because(fmt.Errorf("access: %w", cause))
}
