package policy

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// KindAccessKey is the kind of the documents that hold the secrets which clients sign their requests with: Apollo's access keys. Its
// name is the application's id.
const KindAccessKey = "AccessKey"

// Limits of an AccessKey.
const (
	// MaxAccessKeys bounds the keys of one application: two allow to change them, a few more are the habit of some.
	MaxAccessKeys = 8
	// A secret below minSecret bytes could be found by trying; Apollo's have 32.
	minSecret = 16
	maxSecret = 256
)

// AccessKeyMode says what a wrong signature does.
type AccessKeyMode string

// The modes, by Apollo's words.
const (
	// AccessKeyFilter refuses requests without a right signature. It is the default.
	AccessKeyFilter AccessKeyMode = "filter"
	// AccessKeyObserver only counts them: to see before a key is enforced which clients do not have it yet.
	AccessKeyObserver AccessKeyMode = "observer"
)

// AccessKey is one secret of an application.
type AccessKey struct {
	Secret string
	Mode   AccessKeyMode
}

type accessKeySpec struct {
	Keys []accessKeyEntry `json:"keys" spec:"required"`
}

type accessKeyEntry struct {
	Secret  string        `json:"secret" spec:"required"`
	Enabled *bool         `json:"enabled"`
	Mode    AccessKeyMode `json:"mode"`
}

// accessKeyKind is AccessKey. Its secrets are needed in the clear to check signatures, so that it must be sealed.
type accessKeyKind struct{}

func (accessKeyKind) Name() string { return KindAccessKey }

func (accessKeyKind) Formats() []string { return []string{source.YAML, source.JSON, source.TOML} }

func (accessKeyKind) spec() reflect.Type { return reflect.TypeFor[accessKeySpec]() }

func (accessKeyKind) Validate(doc Document, _ Library) ([]*fault.Error, error) {
	if !doc.Sensitive {
		return nil, fault.New(fault.Invalid, "accesskey.not_sensitive", "an AccessKey holds secrets and must be sensitive").
			At("metadata.sensitive").Hinted("set metadata.sensitive to true, so that it is sealed in the state and not shown")
	}
	spec, tree, err := decodeSpec[accessKeySpec](doc)
	if err != nil {
		return nil, err
	}
	if len(spec.Keys) > MaxAccessKeys {
		return nil, tree.At("keys").Fault("accesskey.too_many", "there are %d keys", len(spec.Keys)).Hinted("at most %d; take out what is not used any more", MaxAccessKeys)
	}
	var faults []*fault.Error
	for i, key := range spec.Keys {
		switch key.Mode {
		case "", AccessKeyFilter, AccessKeyObserver:
		default:
			faults = append(faults, tree.At("keys", i, "mode").Fault("accesskey.unknown_mode", "it is no mode").
				Hinted("use %s or %s", AccessKeyFilter, AccessKeyObserver))
		}
		if n := len(key.Secret); n < minSecret || n > maxSecret || strings.TrimSpace(key.Secret) != key.Secret {
			faults = append(faults, tree.At("keys", i, "secret").Fault("accesskey.bad_secret", "the secret has %d bytes, or begins or ends with a space", n).
				Hinted("use %d to %d bytes by chance, such as of `openssl rand -hex 16`", minSecret, maxSecret))
		}
	}
	return nil, fault.Join(faults...)
}

// AccessKeys returns the enabled keys that the content of an AccessKey holds, in its order.
func AccessKeys(format string, content []byte) ([]AccessKey, error) {
	spec, _, err := decodeSpec[accessKeySpec](Document{Kind: KindAccessKey, Format: format, Content: content, Sensitive: true})
	if err != nil {
		return nil, fmt.Errorf("policy: a stored AccessKey cannot be read: %w", err)
	}
	var keys []AccessKey
	for _, key := range spec.Keys {
		if key.Enabled != nil && !*key.Enabled {
			continue
		}
		if key.Mode == "" {
			key.Mode = AccessKeyFilter
		}
		keys = append(keys, AccessKey{Secret: key.Secret, Mode: key.Mode})
	}
	return keys, nil
}
