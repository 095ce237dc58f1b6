package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// exportList is the file in an exported folder that says which files are the export's own, one
	// path a line. It is hidden, so that an import does not read it.
	exportList = ".gantry-export"
	// stagingFolder holds an export until it is complete.
	stagingFolder = ".gantry-export.part"
	exportHeader  = "# Files that gantry export wrote here. The next export replaces or removes them."
)

func (c *cli) importCommand() *cobra.Command {
	o := applyOptions{brief: true}
	cmd := &cobra.Command{
		Use:   "import FOLDER",
		Short: "Publish and release a tree of manifests, such as an export",
		Long: `Publish and release a tree of manifests, such as an export. All are validated first; what is in force
already is left as it is, so that an import that was interrupted can be run again.

Nothing is deleted on the server.`,
		Example: `  gantry import backup/
  gantry import backup/ --dry-run`,
		Args: arguments(1, 1),
		RunE: action(func(ctx context.Context, args []string) error {
			if info, err := os.Stat(args[0]); err != nil {
				return fileFault(err)
			} else if !info.IsDir() {
				return fault.New(fault.Invalid, "cli.not_a_folder", "%s is not a folder", args[0]).Hinted("use gantry apply -f for a file")
			}
			return c.apply(ctx, args, o)
		}),
	}
	messageFlag(cmd, &o.message)
	cmd.Flags().BoolVar(&o.draft, "draft", false, "publish without releasing")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would change, and change nothing")
	cmd.Flags().BoolVar(&o.keepGoing, "keep-going", false, "go on with the next document when one is refused")
	return cmd
}

// exportOptions are the flags of export.
type exportOptions struct {
	namespace string // empty for all
	kind      string
	sensitive bool
	force     bool
}

func (c *cli) exportCommand() *cobra.Command {
	var o exportOptions
	var all bool
	cmd := &cobra.Command{
		Use:   "export FOLDER",
		Short: "Write the released documents as a tree of manifests",
		Long: `Write the released documents of a namespace as a tree of manifests, FOLDER/namespace/kind/name.yaml, which
"gantry import" reads back and a version control system can keep.

A folder that holds an earlier export is brought up to date: files of documents that are gone are removed, and other
files stay. Any other folder that is not empty is refused, unless --force is given. The files change only when
the export is complete.`,
		Example: `  gantry export backup/
  gantry export backup/ -A --sensitive
  gantry export schemas/ --kind Schema`,
		Args: arguments(1, 1),
		RunE: action(func(ctx context.Context, args []string) error {
			var err error
			if o.namespace, err = c.scope(all); err != nil {
				return err
			}
			if o.kind != "" {
				o.kind = kindOf(o.kind)
			}
			return c.export(ctx, args[0], o)
		}),
	}
	allFlag(cmd, &all)
	cmd.Flags().StringVar(&o.kind, "kind", "", "only documents of this `kind`")
	cmd.Flags().BoolVar(&o.sensitive, "sensitive", false, "write sensitive documents too, in the clear, readable by you alone")
	cmd.Flags().BoolVar(&o.force, "force", false, "write into a folder that holds other things")
	complete(cmd, "kind", c.completeKinds)
	return cmd
}

// exported is the answer of export for programs.
type exported struct {
	Folder    string   `json:"folder"`
	Written   int      `json:"written"`
	Unchanged int      `json:"unchanged"`
	Removed   int      `json:"removed"`
	LeftOut   []string `json:"leftOut"`
}

func (c *cli) export(ctx context.Context, folder string, o exportOptions) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fileFault(err)
	}
	// Names come from the server: a root lets none of them lead outside.
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fileFault(err)
	}
	defer root.Close()
	before, err := earlierExport(root, folder, o.force)
	if err != nil {
		return err
	}
	if err := root.RemoveAll(stagingFolder); err != nil {
		return fileFault(err)
	}
	defer root.RemoveAll(stagingFolder)
	e := &exporting{cli: c, root: root, options: o, files: map[string]fs.FileMode{}, answer: exported{Folder: folder, LeftOut: []string{}}}
	if err := e.receive(ctx); err != nil {
		return err
	}
	if err := e.settle(before); err != nil {
		return fileFault(err)
	}
	if c.flags.output.machine() {
		return c.answerValue(e.answer)
	}
	if n := len(e.answer.LeftOut); n > 0 {
		hint := "--sensitive writes them"
		if o.sensitive {
			hint = "only a releaser may see them"
		}
		c.warn("%s left out: %s", plural(n, "sensitive document is", "sensitive documents are"), hint)
	}
	return c.say("%s: %d written, %d unchanged, %d removed", folder, e.answer.Written, e.answer.Unchanged, e.answer.Removed)
}

// earlierExport reads which files an earlier export wrote into a folder, and refuses a folder that holds something
// else.
func earlierExport(root *os.Root, folder string, force bool) ([]string, error) {
	f, err := root.Open(exportList)
	if err == nil {
		defer f.Close()
		var files []string
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if line := lines.Text(); line != "" && !strings.HasPrefix(line, "#") {
				files = append(files, line)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fileFault(err)
		}
		return files, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fileFault(err)
	}
	dir, err := root.Open(".")
	if err != nil {
		return nil, fileFault(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fileFault(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == stagingFolder })
	if len(names) > 0 && !force {
		return nil, fault.New(fault.Precondition, "cli.folder_not_empty", "%s is not empty, and holds no earlier export", folder).
			Hinted("name another folder, or add --force to write beside what is there")
	}
	return nil, nil
}

// exporting is an export under way.
type exporting struct {
	cli     *cli
	root    *os.Root
	options exportOptions
	// files are the paths received, with the modes they get.
	files  map[string]fs.FileMode
	answer exported
}

// receive writes everything into the staging folder.
func (e *exporting) receive(ctx context.Context) error {
	r, err := e.cli.connect()
	if err != nil {
		return err
	}
	stream, err := r.releases.Export(ctx, &gantryv1.ExportRequest{Namespace: e.options.namespace, Kind: e.options.kind, Sensitive: e.options.sensitive})
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := e.root.Mkdir(stagingFolder, 0o700); err != nil {
		return fileFault(err)
	}
	total := 0
	for stream.Receive() {
		message := stream.Msg()
		total = int(message.GetTotal())
		e.cli.progress("exporting", len(e.files), total)
		if err := e.stage(message); err != nil {
			return err
		}
	}
	e.cli.progress("exporting", total, total)
	return stream.Err()
}

func (e *exporting) stage(message *gantryv1.ExportResponse) error {
	ref, v := message.GetDocument().GetRef(), message.GetVersion()
	if v.GetWithheld() {
		e.answer.LeftOut = append(e.answer.LeftOut, ref.GetNamespace()+"/"+documentName(ref))
		return nil
	}
	doc := manifestOf(ref, v)
	if err := policy.ValidateName("namespace", doc.Namespace); err != nil {
		return err
	}
	text, err := policy.FormatManifest(doc)
	if err != nil {
		return err
	}
	name := policy.TreePath(doc)
	mode := fs.FileMode(0o644)
	if v.GetSensitive() {
		mode = 0o600
	}
	staged := path.Join(stagingFolder, name)
	if err := e.root.MkdirAll(path.Dir(staged), 0o755); err != nil {
		return fileFault(err)
	}
	// Names that this file system takes for the same would overwrite each other.
	f, err := e.root.OpenFile(staged, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Precondition, "cli.same_file", "%s cannot stand beside another document: this file system takes their names for the same", documentName(ref)).
			Hinted("export to a file system that tells capital letters from small ones")
	}
	if err != nil {
		return fileFault(err)
	}
	_, err = f.Write(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fileFault(err)
	}
	e.files[name] = mode
	return nil
}

// settle moves the staged files to their places and removes those of documents that are gone. The list names old
// and new files while that goes on, so that an export after a crash knows them all.
func (e *exporting) settle(before []string) error {
	after := slices.Sorted(maps.Keys(e.files))
	both := slices.Concat(before, after)
	slices.Sort(both)
	if err := e.writeList(slices.Compact(both)); err != nil {
		return err
	}
	for _, name := range after {
		if err := e.place(name); err != nil {
			return err
		}
	}
	kept := after
	for _, name := range before {
		if _, written := e.files[name]; written {
			continue
		}
		if !e.covers(name) {
			kept = append(kept, name)
			continue
		}
		switch err := e.root.Remove(name); {
		case err == nil:
			e.answer.Removed++
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	slices.Sort(kept)
	return e.writeList(kept)
}

// covers reports whether this export is about the document of a file, so that its absence means something.
func (e *exporting) covers(name string) bool {
	parts := strings.Split(name, "/")
	return (e.options.namespace == "" || parts[0] == e.options.namespace) && (e.options.kind == "" || len(parts) > 1 && parts[1] == e.options.kind)
}

func (e *exporting) place(name string) error {
	staged := path.Join(stagingFolder, name)
	same, err := e.sameFile(staged, name)
	if err != nil {
		return err
	}
	if same {
		e.answer.Unchanged++
		return e.root.Chmod(name, e.files[name])
	}
	if err := e.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	e.answer.Written++
	return e.root.Rename(staged, name)
}

// sameFile compares two small files. A missing one is different.
func (e *exporting) sameFile(staged, name string) (bool, error) {
	info, err := e.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	next, err := e.root.Lstat(staged)
	if err != nil || !info.Mode().IsRegular() || info.Size() != next.Size() {
		return false, err
	}
	a, err := e.root.ReadFile(staged)
	if err != nil {
		return false, err
	}
	b, err := e.root.ReadFile(name)
	return err == nil && string(a) == string(b), err
}

func (e *exporting) writeList(files []string) error {
	part := path.Join(stagingFolder, exportList)
	f, err := e.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, exportHeader+"\n"+strings.Join(append(slices.Clone(files), ""), "\n"))
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", exportList, err)
	}
	return e.root.Rename(part, exportList)
}
