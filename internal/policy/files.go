package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// Limits of a tree of files.
const (
	MaxTreeFiles = 100_000
	MaxTreeBytes = 512 << 20
)

// maxFileName keeps file names below the 255 bytes that file systems take, ".yaml" included.
const maxFileName = 200

// TreePath is the path of a document's manifest in a tree of files: namespace, kind and name,
// slash-separated, the name escaped to one file name: %XX stands for '/', '%', what Windows does
// not take, and a leading '.'. A name that is too long is cut and told apart by a hash. Paths of
// different documents differ, though on some file systems only in case: write files exclusively.
func TreePath(doc Document) string {
	return path.Join(doc.Namespace, escapeName(doc.Kind), escapeName(doc.Name)+".yaml")
}

func escapeName(name string) string {
	var b strings.Builder
	cut := 0
	for i, r := range name {
		if b.Len() <= maxFileName {
			cut = b.Len()
		}
		switch {
		case r == '.' && i == 0, strings.ContainsRune(`/\%<>:"|?*~`, r), r < ' ', r == 0x7f:
			fmt.Fprintf(&b, "%%%02X", r)
		default:
			b.WriteRune(r)
		}
	}
	escaped := b.String()
	if len(escaped) <= maxFileName {
		return escaped
	}
	sum := sha256.Sum256([]byte(name))
	return escaped[:cut] + "~" + hex.EncodeToString(sum[:8])
}

// ParseTree reads the manifests of all *.yaml, *.yml and *.json files of a tree, in the order of
// their paths. Where they lie says nothing: what counts is what they say. Hidden files, and links, are
// left out. A document that stands there twice is refused ("manifest.duplicate"), otherwise errors are as
// [ParseManifests] has them; up to 20 are joined.
func ParseTree(tree fs.FS) ([]Manifest, error) {
	r := treeReader{tree: tree, first: map[string]Manifest{}}
	if err := fs.WalkDir(tree, ".", r.visit); err != nil {
		return nil, err
	}
	if err := fault.Join(r.faults...); err != nil {
		return nil, err
	}
	return r.manifests, nil
}

type treeReader struct {
	tree      fs.FS
	manifests []Manifest
	first     map[string]Manifest
	faults    []*fault.Error
	files     int
	bytes     int64
}

func (r *treeReader) visit(name string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if name != "." && strings.HasPrefix(entry.Name(), ".") {
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json":
	default:
		return nil
	}
	if !entry.Type().IsRegular() {
		return nil
	}
	return r.file(name, entry)
}

func (r *treeReader) file(name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	r.files++
	r.bytes += info.Size()
	if r.files > MaxTreeFiles || r.bytes > MaxTreeBytes {
		return fault.New(fault.TooLarge, "manifest.tree_too_large", "the tree has more than %d files or %d bytes", MaxTreeFiles, MaxTreeBytes).
			Hinted("import its folders one by one")
	}
	if info.Size() > MaxManifestFile {
		return fault.New(fault.TooLarge, "manifest.too_large", "%s: the file has %d bytes, at most %d are allowed", name, info.Size(), MaxManifestFile).
			Hinted("split it into several files")
	}
	data, err := fs.ReadFile(r.tree, name)
	if err != nil {
		return err
	}
	manifests, err := ParseManifests(name, data)
	if f, ok := fault.As(err); ok {
		return r.fail(f)
	}
	for _, m := range manifests {
		id := m.Namespace + "\x00" + m.Kind + "\x00" + m.Name
		if first, ok := r.first[id]; ok {
			return r.fail(fault.New(fault.Invalid, "manifest.duplicate", "%s%s %s stands here again, first in %s:%d",
				filePlace(m.File, m.Line, 0), m.Kind, source.Quote(m.Name), first.File, first.Line).
				At("metadata.name").On(m.Line, 0).Hinted("keep one of them"))
		}
		r.first[id] = Manifest{File: m.File, Line: m.Line}
		r.manifests = append(r.manifests, m)
	}
	return nil
}

// fail notes an error, and goes on until there are enough of them.
func (r *treeReader) fail(f *fault.Error) error {
	if r.faults = append(r.faults, f); len(r.faults) >= source.MaxFaults {
		return fs.SkipAll
	}
	return nil
}
