package migrate

import (
	"maps"
	"slices"
	"strings"
)

// The names here are those of Gantry's own protocols for these systems, so that a client which moves over finds the same.

// nacosDocument is the name of a configuration's document.
func nacosDocument(group, dataID string) string {
	if group == "" || group == nacosGroup {
		return dataID
	}
	return group + "/" + dataID
}

const (
	apolloCluster = "default"
	// apolloPublic stands for the application in the documents of public namespaces.
	apolloPublic = "public"
	properties   = ".properties"
)

// apolloDocument is the name of a namespace's document.
func apolloDocument(app, cluster, namespace string) string {
	name := app + "/"
	if cluster != apolloCluster {
		name += cluster + "/"
	}
	name += namespace
	if !apolloFile(namespace) && !strings.HasSuffix(name, properties) {
		name += properties
	}
	return name
}

// apolloFile reports whether a namespace is one text, and no properties.
func apolloFile(namespace string) bool {
	lower := strings.ToLower(namespace)
	return slices.ContainsFunc([]string{".json", ".yml", ".yaml", ".xml", ".txt"}, func(extension string) bool { return strings.HasSuffix(lower, extension) })
}

// Groups of Gantry and of Nacos.
const gantryGroup = "default"

func groupOfNacos(group string) string {
	if group == "" || group == nacosGroup {
		return gantryGroup
	}
	return group
}

func nacosGroupOf(group string) string {
	if group == "" || group == gantryGroup {
		return nacosGroup
	}
	return group
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
