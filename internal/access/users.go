package access

import (
	"context"
	"errors"
	"slices"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// sessionRandom is how many random bytes a session has.
const sessionRandom = 16

// CreateUser makes a user. It needs [Administer] everywhere. The user can log in at once here, and on the other nodes
// when their mirrors have the record, milliseconds later.
//
// Errors: Invalid with reason "access.bad_name", "access.bad_password", "access.bad_role" or "access.bad_namespace";
// AlreadyExists with "access.user_exists"; Exhausted with "access.too_many_users" beyond 10,000.
func (m *Manager) CreateUser(ctx context.Context, name, password string, grants []*gantryv1.Grant) (*gantryv1.User, error) {
	if err := Require(ctx, Administer, everywhere); err != nil {
		return nil, err
	}
	record, err := m.newUser(ctx, name, password, grants)
	if err != nil {
		return nil, err
	}
	if users, _ := m.directory.counts(); users >= maxUsers {
		return nil, fault.New(fault.Exhausted, "access.too_many_users", "there are %d users", users).
			Hinted("delete those that are not used; services need tokens, not users")
	}
	change, err := createUser(ctx, record)
	if err != nil {
		return nil, err
	}
	revision, err := m.store.Commit(ctx, change)
	if errors.Is(err, state.ErrConflict) {
		return nil, fault.New(fault.AlreadyExists, "access.user_exists", "there is a user %q", name).At("name").
			Hinted("choose another name, or change that user")
	}
	if err != nil {
		return nil, err
	}
	m.await(ctx, revision)
	return record.toAPI(), nil
}

// newUser checks a new user and hashes the password.
func (m *Manager) newUser(ctx context.Context, name, password string, api []*gantryv1.Grant) (userRecord, error) {
	grants, err := checkGrants(api)
	if err = errors.Join(checkUserName(name), checkPassword(password, "password"), err); err != nil {
		return userRecord{}, joined(err)
	}
	hash, err := m.verifier.hasher.create(ctx, password)
	if err != nil {
		return userRecord{}, err
	}
	now := m.now()
	return userRecord{
		Name: name, Grants: grants, Password: hash.String(), Session: randomWord(sessionRandom), Created: now, Changed: now,
	}, nil
}

// createUser is the change that makes a user who is not there yet.
func createUser(ctx context.Context, record userRecord) (state.Change, error) {
	return putUser(ctx, record, 0, Entry{Action: "user.create", Target: record.Name, After: record.toAPI()})
}

// putUser is the change that writes a user's record in place of the one of a revision, with its audit record.
func putUser(ctx context.Context, record userRecord, modified int64, entry Entry) (state.Change, error) {
	value, err := encode(record)
	if err != nil {
		return state.Change{}, err
	}
	audit, err := Record(ctx, entry)
	if err != nil {
		return state.Change{}, err
	}
	key := userKey(record.Name)
	return state.Change{
		If:  []state.Condition{state.Unchanged(key, modified)},
		Put: []state.Put{{Key: key, Value: value}, audit},
	}, nil
}

// UserUpdate says what to change of a user; what is nil stays.
type UserUpdate struct {
	// Password ends all logins of the user.
	Password *string
	// Grants replace all grants.
	Grants *gantryv1.GrantList
	// Disabled, when it becomes true, ends all logins of the user.
	Disabled *bool
}

// UpdateUser changes a user. It needs [Administer] everywhere; the administrator of a namespace may change the grants
// on that namespace and must leave the others as they are.
//
// Errors: those of [Manager.CreateUser]; NotFound with reason "access.no_such_user"; Precondition with
// "access.last_administrator" when nobody would be left who can administer everything.
func (m *Manager) UpdateUser(ctx context.Context, name string, update UserUpdate) (*gantryv1.User, error) {
	grants, hash, err := m.checkUpdate(ctx, update)
	if err != nil {
		return nil, err
	}
	var after userRecord
	err = m.commit(ctx, func() (state.Change, error) {
		before, record, err := m.readUser(ctx, name)
		if err != nil {
			return state.Change{}, err
		}
		after = before
		after.Changed = m.now()
		if update.Grants != nil {
			if err := requireGrants(ctx, before.Grants, grants); err != nil {
				return state.Change{}, err
			}
			after.Grants = grants
		}
		entry := Entry{Action: "user.update", Target: name, Before: before.toAPI()}
		if hash != "" {
			after.Password, entry.Message = hash, "new password"
		}
		if update.Disabled != nil {
			after.Disabled = *update.Disabled
		}
		if hash != "" || after.Disabled != before.Disabled {
			after.Session = randomWord(sessionRandom)
		}
		entry.After = after.toAPI()
		change, err := putUser(ctx, after, record.Modified, entry)
		if err != nil || !before.administrator() || after.administrator() {
			return change, err
		}
		return m.keepAdministrator(ctx, name, change)
	})
	if err != nil {
		return nil, err
	}
	return after.toAPI(), nil
}

// checkUpdate checks what does not depend on the user, and hashes the new password if there is one.
func (m *Manager) checkUpdate(ctx context.Context, update UserUpdate) (grants []grant, hash string, err error) {
	if update.Password != nil || update.Disabled != nil || !FromContext(ctx).somewhere(Administer) {
		if err := Require(ctx, Administer, everywhere); err != nil {
			return nil, "", err
		}
	}
	if update == (UserUpdate{}) {
		return nil, "", fault.New(fault.Invalid, "access.nothing_to_change", "the update changes nothing").
			Hinted("set the password, the grants, or disabled")
	}
	if update.Grants != nil {
		if grants, err = checkGrants(update.Grants.GetGrants()); err != nil {
			return nil, "", err
		}
	}
	if update.Password == nil {
		return grants, "", nil
	}
	if err := checkPassword(*update.Password, "password"); err != nil {
		return nil, "", err
	}
	made, err := m.verifier.hasher.create(ctx, *update.Password)
	return grants, made.String(), err
}

// requireGrants wants the right to administer every namespace on which the grants differ.
func requireGrants(ctx context.Context, before, after []grant) error {
	for _, lists := range [...][2][]grant{{before, after}, {after, before}} {
		for _, g := range lists[0] {
			if slices.Contains(lists[1], g) {
				continue
			}
			if err := Require(ctx, Administer, g.Namespace); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepAdministrator lets a change take away an administrator of everything only while another one stays as they are: that
// one's record is a condition of the change. Whatever happens at the same time writes one of the two
// records, so that two such changes cannot both succeed and leave nobody.
func (m *Manager) keepAdministrator(ctx context.Context, name string, change state.Change) (state.Change, error) {
	other, err := m.findAdministrator(ctx, name)
	if err != nil {
		return state.Change{}, err
	}
	if other == nil {
		return state.Change{}, fault.New(fault.Precondition, "access.last_administrator",
			"%q is the last user who may administer everything", name).
			Hinted("first give another enabled user the role admin on \"*\"")
	}
	change.If = append(change.If, state.Unchanged(other.Key, other.Modified))
	return change, nil
}

// findAdministrator returns the record of an enabled administrator of everything with another name; nil if there is none.
func (m *Manager) findAdministrator(ctx context.Context, except string) (*state.Record, error) {
	const page = 500
	for after := ""; ; {
		records, err := m.store.List(ctx, state.Prefix(userRoom), state.ListOptions{After: after, Limit: page})
		if err != nil {
			return nil, err
		}
		for _, record := range records {
			u, _, err := decodeUser(record.Key, record.Value)
			if err == nil && u.Name != except && u.administrator() {
				return &record, nil
			}
		}
		if len(records) < page {
			return nil, nil
		}
		after = records[len(records)-1].Key
	}
}

// DeleteUser removes a user and ends all their logins. A user of that name made later has nothing of theirs. Tokens that
// they made stay: they belong to services. A record that cannot be read can still be deleted. It needs [Administer] everywhere. Errors as for [Manager.UpdateUser].
func (m *Manager) DeleteUser(ctx context.Context, name string) error {
	if err := Require(ctx, Administer, everywhere); err != nil {
		return err
	}
	return m.commit(ctx, func() (state.Change, error) {
		before, record, err := m.readUser(ctx, name)
		if err != nil && record.Key == "" {
			return state.Change{}, err
		}
		audit, err := Record(ctx, Entry{Action: "user.delete", Target: name, Before: before.toAPI()})
		if err != nil {
			return state.Change{}, err
		}
		change := state.Change{
			If:     []state.Condition{state.Unchanged(record.Key, record.Modified)},
			Put:    []state.Put{audit},
			Delete: []string{record.Key},
		}
		if !before.administrator() {
			return change, nil
		}
		return m.keepAdministrator(ctx, name, change)
	})
}

// ListUsers returns all users by name, to whoever administers anything: to grant a role one must see who there is.
func (m *Manager) ListUsers(ctx context.Context) ([]*gantryv1.User, error) {
	if !FromContext(ctx).somewhere(Administer) {
		return nil, Require(ctx, Administer, everywhere)
	}
	all := m.directory.allUsers()
	users := make([]*gantryv1.User, len(all))
	for i, u := range all {
		users[i] = u.toAPI()
	}
	return users, nil
}

// ChangePassword changes the caller's own password and ends all their logins, this one too. Errors: Precondition with reason
// "access.not_a_user" for those without a password; those of [Manager.Login] for the old one, Invalid with
// "access.bad_password" for the new one.
func (m *Manager) ChangePassword(ctx context.Context, old, password string) error {
	i := FromContext(ctx)
	if i.user == "" {
		return fault.New(fault.Precondition, "access.not_a_user", "%s has no password", i.Actor).Hinted("log in as a user")
	}
	if err := checkPassword(password, "new_password"); err != nil {
		return err
	}
	verified, err := m.verifier.verify(ctx, i.user, old, i.Source)
	if err != nil {
		return err
	}
	hash, err := m.verifier.hasher.create(ctx, password)
	if err != nil {
		return err
	}
	return m.commit(ctx, func() (state.Change, error) {
		u, record, err := m.readUser(ctx, i.user)
		if err != nil {
			return state.Change{}, err
		}
		if u.Session != verified.Session {
			return state.Change{}, errBadCredentials() // the old one is not theirs any more
		}
		u.Password, u.Session, u.Changed = hash.String(), randomWord(sessionRandom), m.now()
		return putUser(ctx, u, record.Modified, Entry{Action: "user.change_password", Target: u.Name})
	})
}
