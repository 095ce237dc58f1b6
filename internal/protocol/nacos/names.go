package nacos

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/release"
)

// Nacos's names for what is ours.
const (
	defaultGroup    = "DEFAULT_GROUP"
	defaultCluster  = "DEFAULT"
	publicNamespace = "public"
	groupSeparator  = "@@"
	// clusterLabel keeps an instance's cluster.
	clusterLabel = "cluster"
	configKind   = "Config"
)

// maxConfigName bounds dataId and group, in bytes, as Nacos's database does.
const maxConfigName = 256

func invalid(field, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "nacos.invalid", format, args...).At(field)
}

func missing(field string) *fault.Error {
	return fault.New(fault.Invalid, "nacos.missing", "Param '%s' is required.", field).At(field)
}

// quoted cuts what a caller sent, so that an error stays readable.
func quoted(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}

// namespaceOf is our namespace for a namespaceId or tenant.
func namespaceOf(id string) string {
	if id == "" || id == publicNamespace {
		return instance.Default
	}
	return id
}

// tenantOf undoes namespaceOf as configuration has it, where the public namespace is the empty tenant.
func tenantOf(namespace string) string {
	if namespace == instance.Default {
		return ""
	}
	return namespace
}

// namespaceIDOf undoes namespaceOf as services have it.
func namespaceIDOf(namespace string) string {
	if namespace == instance.Default {
		return publicNamespace
	}
	return namespace
}

// groupOf is our group for Nacos's; groupNameOf undoes it.
func groupOf(name string) string {
	if name == "" || name == defaultGroup {
		return instance.Default
	}
	return name
}

func groupNameOf(group string) string {
	if group == instance.Default {
		return defaultGroup
	}
	return group
}

// groupedName is "group@@service", how Nacos names a service in one word.
func groupedName(service instance.Service) string {
	return groupNameOf(service.Group) + groupSeparator + service.Name
}

// serviceOf reads a service's name. One that brings its group wins over the parameter.
func serviceOf(namespaceID, groupName, serviceName string) (instance.Service, error) {
	if group, name, found := strings.Cut(serviceName, groupSeparator); found {
		if group == "" {
			return instance.Service{}, invalid("serviceName", "Param 'serviceName' is illegal, groupName can't be empty")
		}
		groupName, serviceName = group, name
	}
	if serviceName == "" {
		return instance.Service{}, missing("serviceName")
	}
	return instance.Service{Namespace: namespaceOf(namespaceID), Group: groupOf(groupName), Name: serviceName}, nil
}

// appendInstanceID appends the id that Nacos gives an instance which brings none.
func appendInstanceID(b []byte, ip string, port int, cluster string, service instance.Service) []byte {
	b = append(b, ip...)
	b = append(b, '#')
	b = strconv.AppendInt(b, int64(port), 10)
	b = append(b, '#')
	b = append(b, cluster...)
	b = append(b, '#')
	b = append(b, groupNameOf(service.Group)...)
	b = append(b, groupSeparator...)
	return append(b, service.Name...)
}

// configKey names a configuration in our words.
type configKey struct{ namespace, group, dataID string }

// configKeyOf checks and reads a configuration's name. An empty group is an error, as in Nacos.
func configKeyOf(tenant, group, dataID string) (configKey, error) {
	dataID = strings.TrimSpace(dataID)
	switch {
	case dataID == "":
		return configKey{}, missing("dataId")
	case group == "":
		return configKey{}, missing("group")
	case !isConfigName(dataID):
		return configKey{}, invalid("dataId", "invalid dataId : %s", quoted(dataID)).
			Hinted("use letters, digits, \".\", \":\", \"-\" and \"_\", at most %d bytes", maxConfigName)
	case !isConfigName(group):
		return configKey{}, invalid("group", "invalid group : %s", quoted(group)).
			Hinted("use letters, digits, \".\", \":\", \"-\" and \"_\", at most %d bytes", maxConfigName)
	}
	namespace := namespaceOf(tenant)
	if err := instance.CheckNamespace(namespace); err != nil {
		return configKey{}, err
	}
	return configKey{namespace: namespace, group: groupOf(group), dataID: dataID}, nil
}

// isConfigName is Nacos's rule for dataId and group: letters and digits of any script, and a few signs.
func isConfigName(name string) bool {
	if name == "" || len(name) > maxConfigName || !utf8.ValidString(name) {
		return false
	}
	for _, r := range name {
		if r < utf8.RuneSelf && ('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9') {
			continue
		}
		if r != '.' && r != ':' && r != '-' && r != '_' && (r < utf8.RuneSelf || !unicode.IsLetter(r) && !unicode.IsDigit(r)) {
			return false
		}
	}
	return true
}

func (k configKey) ref() release.Ref {
	name := k.dataID
	if k.group != instance.Default {
		name = k.group + "/" + k.dataID
	}
	return release.Ref{Namespace: k.namespace, Kind: configKind, Name: name}
}

// configKeyOfRef undoes ref; false for documents that Nacos cannot name.
func configKeyOfRef(namespace, name string) (configKey, bool) {
	key := configKey{namespace: namespace, group: instance.Default, dataID: name}
	if group, dataID, found := strings.Cut(name, "/"); found {
		key.group, key.dataID = group, dataID
		if group == instance.Default || group == defaultGroup {
			return configKey{}, false // the name without it is that configuration
		}
	}
	return key, isConfigName(key.dataID) && isConfigName(key.group)
}
