package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

//go:embed all:dist
var built embed.FS

// Built is the app in this binary. It may hold no page.
func Built() fs.FS {
	sub, err := fs.Sub(built, "dist")
	if err != nil {
		panic(err) // the name is a constant
	}
	return sub
}

const (
	page   = "index.html"
	assets = "assets/"
	// nonceMark is where the page wants its nonce.
	nonceMark = "{{nonce}}"
)

// file is one file of the app, in the encodings that it was built in.
type file struct {
	contentType string
	// etag without quotes; each encoding adds its name.
	etag string
	// encoded holds at least one.
	encoded map[encoding][]byte
}

// types are by suffix: what the system knows about suffixes must not change what a browser is told.
var types = map[string]string{
	".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".ico": "image/x-icon", ".js": "text/javascript; charset=utf-8",
	".json": "application/json", ".mjs": "text/javascript; charset=utf-8", ".png": "image/png", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
	".webmanifest": "application/manifest+json", ".webp": "image/webp", ".woff2": "font/woff2",
}

// readFiles reads the app. Names are paths without a slash at the beginning.
func readFiles(from fs.FS) (map[string]*file, error) {
	files := map[string]*file{}
	err := fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		content, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		as := identity
		for coding, suffix := range suffixes {
			if plain, found := strings.CutSuffix(name, suffix); found {
				name, as = plain, coding
			}
		}
		f := files[name]
		if f == nil {
			f = &file{contentType: types[path.Ext(name)], encoded: map[encoding][]byte{}}
			if f.contentType == "" {
				f.contentType = "application/octet-stream"
			}
			files[name] = f
		}
		f.encoded[as] = content
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	for name, f := range files {
		if err := f.complete(); err != nil {
			return nil, fmt.Errorf("console: %s: %w", name, err)
		}
	}
	return files, nil
}

// complete checks that the file can be had by everybody, and names its content.
func (f *file) complete() error {
	if f.encoded[identity] == nil && f.encoded[zipped] == nil {
		return fmt.Errorf("it is there in brotli alone, which not everybody reads")
	}
	whole := sha256.New()
	content, err := f.plain()
	if err == nil {
		_, err = io.Copy(whole, content)
	}
	f.etag = hex.EncodeToString(whole.Sum(nil)[:12])
	return err
}

// plain reads the file as it is.
func (f *file) plain() (io.Reader, error) {
	if content, there := f.encoded[identity]; there {
		return bytes.NewReader(content), nil
	}
	return gzip.NewReader(bytes.NewReader(f.encoded[zipped]))
}
