package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// filesFlag adds -f.
func filesFlag(cmd *cobra.Command, files *[]string) {
	cmd.Flags().StringArrayVarP(files, "file", "f", nil, "`file` or folder of manifests, \"-\" for standard input; may be repeated")
}

// readManifests reads everything that -f names. What names no namespace belongs to the one to work in. A
// document may come once.
func (c *cli) readManifests(ctx context.Context, paths []string) ([]policy.Manifest, error) {
	if len(paths) == 0 {
		return nil, fault.New(fault.Invalid, "cli.usage", "no file is named").At("file").Hinted("name files with -f, or - for standard input")
	}
	var all []policy.Manifest
	for _, name := range paths {
		manifests, err := c.readPath(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, manifests...)
	}
	if len(all) == 0 {
		return nil, fault.New(fault.Invalid, "cli.no_manifests", "there is no manifest in what -f names").Hinted("see that the files end in .yaml, .yml or .json")
	}
	return all, c.settle(all)
}

func (c *cli) readPath(ctx context.Context, name string) ([]policy.Manifest, error) {
	if name == "-" {
		data, err := await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(c.in, policy.MaxManifestFile+1)) })
		if err != nil {
			return nil, err
		}
		return policy.ParseManifests("stdin", data)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fileFault(err)
	}
	if info.IsDir() {
		return readTree(name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fileFault(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, policy.MaxManifestFile+1))
	if err != nil {
		return nil, fileFault(err)
	}
	return policy.ParseManifests(name, data)
}

func readTree(folder string) ([]policy.Manifest, error) {
	manifests, err := policy.ParseTree(os.DirFS(folder))
	if f, ok := fault.As(err); ok {
		return nil, inFolder(folder, f)
	}
	if err != nil {
		return nil, fileFault(err)
	}
	for i := range manifests {
		manifests[i].File = path.Join(filepath.ToSlash(folder), manifests[i].File)
	}
	return manifests, nil
}

// inFolder puts the folder before the files that errors name.
func inFolder(folder string, f *fault.Error) *fault.Error {
	moved := *f
	if f.Line > 0 {
		moved.Message = filepath.ToSlash(filepath.Clean(folder)) + "/" + f.Message
	}
	moved.Others = nil
	for _, other := range f.Others {
		moved.Others = append(moved.Others, inFolder(folder, other))
	}
	return &moved
}

// settle gives every manifest its namespace and refuses documents that come twice.
func (c *cli) settle(manifests []policy.Manifest) error {
	namespace, err := c.namespace()
	if err != nil {
		return err
	}
	first := map[string]policy.Manifest{}
	for i := range manifests {
		m := &manifests[i]
		switch {
		case m.Namespace == "":
			m.Namespace = namespace
		case c.flags.namespace != "" && m.Namespace != c.flags.namespace:
			return m.Locate(fault.New(fault.Invalid, "cli.other_namespace", "the manifest is for namespace %q, and --namespace says %q", m.Namespace, c.flags.namespace).
				At("metadata.namespace").Hinted("leave out one of the two"))
		}
		id := m.Namespace + "/" + m.Kind + "/" + m.Name
		if before, twice := first[id]; twice {
			return m.Locate(fault.New(fault.Invalid, "manifest.duplicate", "%s/%s stands here again, first in %s:%d", m.Kind, m.Name, before.File, before.Line).
				At("metadata.name").Hinted("keep one of them"))
		}
		first[id] = *m
	}
	return nil
}

func refOf(m policy.Manifest) *gantryv1.DocumentRef {
	return &gantryv1.DocumentRef{Namespace: m.Namespace, Kind: m.Kind, Name: m.Name}
}

func publishRequest(m policy.Manifest) *gantryv1.PublishRequest {
	return &gantryv1.PublishRequest{Ref: refOf(m), Format: m.Format, Content: m.Content, Sensitive: m.Sensitive}
}

// locate explains an error about a manifest with positions in its file.
func (c *cli) locate(m policy.Manifest, err error) *fault.Error {
	f := c.explain(err)
	switch f.Code {
	case fault.Invalid, fault.TooLarge:
	default:
		return f
	}
	located := m.Locate(f)
	if moved, ok := fault.As(located); ok {
		return moved
	}
	return f
}

// warnings are what the server says of a manifest that does not make it invalid.
func (c *cli) printWarnings(m policy.Manifest, warnings []*gantryv1.ErrorMessage) {
	for _, w := range warnings {
		f := fault.New(fault.Invalid, "", "%s", w.GetMessage())
		f.Field, f.Line, f.Column = w.GetField(), int(w.GetLine()), int(w.GetColumn())
		c.printFault("warning", c.errPainter().yellow, c.locate(m, f))
	}
}

func (c *cli) validateCommand() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Ask the server whether manifests are valid; nothing is stored",
		Example: `  gantry validate -f loan.yaml
  gantry validate -f deploy/ -o json`,
		Args: arguments(0, 0),
		RunE: action(func(ctx context.Context, _ []string) error {
			manifests, err := c.readManifests(ctx, files)
			if err != nil {
				return err
			}
			r, err := c.connect()
			if err != nil {
				return err
			}
			verdicts, err := c.verdicts(ctx, r, manifests, true, nil)
			if err != nil {
				return err
			}
			return c.printVerdicts(manifests, verdicts)
		}),
	}
	filesFlag(cmd, &files)
	return cmd
}

// validated is an answer of validate for programs.
type validated struct {
	File      string   `json:"file"`
	Line      int      `json:"line"`
	Namespace string   `json:"namespace"`
	Document  string   `json:"document"`
	Valid     bool     `json:"valid"`
	Warnings  []string `json:"warnings,omitempty"`
	Error     *object  `json:"error,omitempty"`
}

func (c *cli) printVerdicts(manifests []policy.Manifest, verdicts []verdict) error {
	var failed failures
	answers := make([]validated, 0, len(manifests))
	for i, m := range manifests {
		v := verdicts[i]
		a := validated{File: m.File, Line: m.Line, Document: m.Kind + "/" + m.Name, Namespace: m.Namespace, Valid: v.err == nil}
		for _, w := range v.warnings {
			a.Warnings = append(a.Warnings, w.GetMessage())
		}
		if v.err != nil {
			f := c.locate(m, v.err)
			failed.add(f)
			o := errorObject(f)
			a.Error = &o
		}
		answers = append(answers, a)
		if c.flags.output.machine() {
			continue
		}
		c.printWarnings(m, v.warnings)
		if v.err != nil {
			c.printFault("error", c.errPainter().red, c.locate(m, v.err))
		}
	}
	if c.flags.output.machine() {
		if err := c.answerValue(answers); err != nil {
			return err
		}
		return failed.status()
	}
	if err := failed.status(); err != nil {
		return errors.Join(c.say("%d of %s: not valid", failed.count, plural(len(manifests), "document", "documents")), err)
	}
	return c.say("%s: valid", plural(len(manifests), "document", "documents"))
}

// failures of several documents. The first decides the exit code.
type failures struct {
	count int
	first int
}

func (f *failures) add(err *fault.Error) {
	if f.count++; f.count == 1 {
		f.first = exitCodeOf(err.Code)
	}
}

// status is nil without failures. They have been printed already.
func (f *failures) status() error {
	if f.count == 0 {
		return nil
	}
	return exitStatus(f.first)
}
