package main

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) diffCommand() *cobra.Command {
	var files []string
	var from, to int64
	var latest bool
	cmd := &cobra.Command{
		Use:   "diff -f FILE | KIND NAME",
		Short: "Show how manifests differ from what is stored, or two versions from each other",
		Long: `Show how manifests differ from the released version (the latest one when none is released, or with
--latest), or how two versions of a document differ: the released one from the latest, unless --from and --to say
others.

The exit code is 0 when nothing differs, 7 when something does, and below 7 when the question failed.`,
		Example: `  gantry diff -f loan.yaml
  gantry diff -f deploy/ --latest
  gantry diff Config loan.yaml
  gantry diff Config loan.yaml --from 3 --to 5`,
		Args:              arguments(0, 2),
		ValidArgsFunction: c.completeDocuments,
	}
	filesFlag(cmd, &files)
	cmd.Flags().BoolVar(&latest, "latest", false, "compare manifests with the latest version, released or not")
	cmd.Flags().Int64Var(&from, "from", 0, "this `version`; default: the released one")
	cmd.Flags().Int64Var(&to, "to", 0, "this `version`; default: the latest one")
	complete(cmd, "from", c.completeVersions)
	complete(cmd, "to", c.completeVersions)
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		byVersion := cmd.Flags().Changed("from") || cmd.Flags().Changed("to")
		switch {
		case len(files) > 0 && len(args) > 0:
			return usage(cmd, "a document and -f are both given")
		case len(files) > 0 && byVersion:
			return usage(cmd, "--from and --to are for two stored versions, not for -f")
		case len(files) > 0:
			return c.diffManifests(ctx, files, latest)
		case len(args) == 0:
			return usage(cmd, "say what to compare: -f FILE, or KIND NAME")
		case latest:
			return usage(cmd, "--latest is for manifests; use --to")
		}
		ref, err := c.documentRef(args)
		if err != nil {
			return err
		}
		return c.diffVersions(ctx, ref, from, to)
	})
	return cmd
}

func (c *cli) diffVersions(ctx context.Context, ref *gantryv1.DocumentRef, from, to int64) error {
	r, err := c.connect()
	if err != nil {
		return err
	}
	answer, err := r.releases.Diff(ctx, &gantryv1.DiffRequest{Ref: ref, From: from, To: to})
	if err != nil {
		return err
	}
	if err := c.answer(answer, func() error { return c.printDiff(answer.GetUnified()) }); err != nil {
		return err
	}
	if answer.GetUnified() != "" {
		return exitStatus(exitDifferent)
	}
	return nil
}

// differed is an answer of diff -f for programs.
type differed struct {
	File      string   `json:"file"`
	Namespace string   `json:"namespace"`
	Document  string   `json:"document"`
	From      int64    `json:"from,omitempty"`
	Differs   bool     `json:"differs"`
	Unified   string   `json:"unified,omitempty"`
	Changes   []string `json:"changes,omitempty"`
}

func (c *cli) diffManifests(ctx context.Context, files []string, latest bool) error {
	manifests, err := c.readManifests(ctx, files)
	if err != nil {
		return err
	}
	r, err := c.connect()
	if err != nil {
		return err
	}
	different := false
	answers := make([]differed, 0, len(manifests))
	for i, m := range manifests {
		c.progress("comparing", i, len(manifests))
		d, err := c.diffManifest(ctx, r, m, latest)
		if err != nil {
			return err
		}
		different = different || d.Differs
		answers = append(answers, d)
	}
	c.progress("comparing", len(manifests), len(manifests))
	if c.flags.output.machine() {
		if err := c.answerValue(answers); err != nil {
			return err
		}
	} else if err := c.printDifferences(answers); err != nil {
		return err
	}
	if different {
		return exitStatus(exitDifferent)
	}
	return nil
}

func (c *cli) printDifferences(answers []differed) error {
	for _, d := range answers {
		for _, change := range d.Changes {
			if err := c.say("%s: %s", d.Document, change); err != nil {
				return err
			}
		}
		if err := c.printDiff(d.Unified); err != nil {
			return err
		}
	}
	return nil
}

// diffManifest compares one manifest with what is stored.
func (c *cli) diffManifest(ctx context.Context, r *remote, m policy.Manifest, latest bool) (differed, error) {
	d := differed{File: m.File, Document: m.Kind + "/" + m.Name, Namespace: m.Namespace}
	got, err := stored(ctx, r, m, latest)
	if err != nil {
		return d, err
	}
	before := got.GetVersion()
	switch {
	case got == nil || got.GetDocument().GetDeleted():
		before = nil
		d.Changes = []string{"does not exist"}
	default:
		if m.Format != before.GetFormat() {
			d.Changes = append(d.Changes, fmt.Sprintf("format %s -> %s", before.GetFormat(), m.Format))
		}
		if m.Sensitive != before.GetSensitive() {
			d.Changes = append(d.Changes, fmt.Sprintf("sensitive %t -> %t", before.GetSensitive(), m.Sensitive))
		}
	}
	if before == nil || !sameText(m, before) {
		d.From = before.GetVersion()
		if d.Unified, err = c.difference(ctx, r, m, d.From); err != nil {
			return d, err
		}
	}
	d.Differs = d.Unified != "" || len(d.Changes) > 0
	return d, nil
}

// stored is what the server has of a manifest's document: its released version, or the latest one when none is
// released or latest is set. It is nil when there is no such document; a deleted one answers its head.
func stored(ctx context.Context, r *remote, m policy.Manifest, latest bool) (*gantryv1.GetResponse, error) {
	got, err := r.releases.Get(ctx, &gantryv1.GetRequest{Ref: refOf(m)})
	if connect.CodeOf(err) == connect.CodeNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	head := got.GetDocument()
	if !latest || head.GetDeleted() || got.GetVersion().GetVersion() == head.GetLatestVersion() {
		return got, nil
	}
	return r.releases.Get(ctx, &gantryv1.GetRequest{Ref: refOf(m), Version: head.GetLatestVersion()})
}

// sameText compares contents alone.
func sameText(m policy.Manifest, v *gantryv1.Version) bool {
	m.Format, m.Sensitive = v.GetFormat(), v.GetSensitive()
	return sameContent(m, v)
}

// difference is how a manifest's content differs from a stored version; from 0 is nothing stored.
func (c *cli) difference(ctx context.Context, r *remote, m policy.Manifest, from int64) (string, error) {
	if from == 0 {
		return allAre("+", "/dev/null", m.File, string(m.Content)), nil
	}
	if len(m.Content) > 0 {
		answer, err := r.releases.Diff(ctx, &gantryv1.DiffRequest{Ref: refOf(m), From: from, Content: m.Content})
		return answer.GetUnified(), err
	}
	// No content cannot be told from none given.
	got, err := r.releases.Get(ctx, &gantryv1.GetRequest{Ref: refOf(m), Version: from})
	if err != nil {
		return "", err
	}
	if got.GetVersion().GetWithheld() {
		return "", fault.New(fault.Forbidden, "document.withheld", "version %d of %s is sensitive", from, c.fullName(refOf(m))).
			Hinted("only a releaser of the namespace can see what differs")
	}
	return allAre("-", fmt.Sprintf("%s version %d", documentName(refOf(m)), from), m.File, string(got.GetVersion().GetContent())), nil
}

// allAre is the unified diff of a text against nothing.
func allAre(sign, from, to, text string) string {
	if text == "" {
		return ""
	}
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	old, new := "0,0", fmt.Sprintf("1,%d", len(lines))
	if sign == "-" {
		old, new = new, old
	}
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n@@ -%s +%s @@\n", from, to, old, new)
	for _, line := range lines {
		b.WriteString(sign + strings.TrimSuffix(line, "\n") + "\n")
	}
	if !strings.HasSuffix(text, "\n") {
		b.WriteString("\\ No newline at end of file\n")
	}
	return b.String()
}

// printDiff writes a unified diff, coloured on a terminal. Elsewhere it is what patch takes, byte for byte.
func (c *cli) printDiff(unified string) error {
	if unified == "" {
		return nil
	}
	if c.width == 0 {
		_, err := c.out.Write([]byte(unified))
		return err
	}
	var b strings.Builder
	paint := c.painter()
	for line := range strings.Lines(unified) {
		line = printable(strings.TrimSuffix(line, "\n"))
		switch {
		case strings.HasPrefix(line, "+++ "), strings.HasPrefix(line, "--- "):
		case strings.HasPrefix(line, "@@"):
			line = paint.cyan(line)
		case strings.HasPrefix(line, "+"):
			line = paint.green(line)
		case strings.HasPrefix(line, "-"):
			line = paint.red(line)
		}
		b.WriteString(line + "\n")
	}
	_, err := c.out.Write([]byte(b.String()))
	return err
}
