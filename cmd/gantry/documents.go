package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// documentRef reads the arguments KIND NAME, or KIND/NAME in one. A kind of this version may be written in
// small letters.
func (c *cli) documentRef(args []string) (*gantryv1.DocumentRef, error) {
	namespace, err := c.namespace()
	if err != nil {
		return nil, err
	}
	kind, name := args[0], ""
	if len(args) > 1 {
		name = args[1]
	} else {
		kind, name, _ = strings.Cut(kind, "/")
	}
	if kind == "" || name == "" {
		return nil, fault.New(fault.Invalid, "cli.usage", "%q does not name a document", strings.Join(args, " ")).
			Hinted("write kind and name, such as Config loan.yaml or Config/loan.yaml")
	}
	return &gantryv1.DocumentRef{Namespace: namespace, Kind: kindOf(kind), Name: name}, nil
}

// kindOf is the kind as the server writes it; one that this version does not know is left to the server.
func kindOf(text string) string {
	kinds := policy.Standard().Kinds()
	if i := slices.IndexFunc(kinds, func(kind string) bool { return strings.EqualFold(kind, text) }); i >= 0 {
		return kinds[i]
	}
	return text
}

func documentName(ref *gantryv1.DocumentRef) string { return ref.GetKind() + "/" + ref.GetName() }

// fullName names a document with its namespace, where that is not the one to work in.
func (c *cli) fullName(ref *gantryv1.DocumentRef) string {
	if namespace, err := c.namespace(); err == nil && namespace == ref.GetNamespace() {
		return documentName(ref)
	}
	return documentName(ref) + " in " + ref.GetNamespace()
}

func (c *cli) getCommand() *cobra.Command {
	var version int64
	var search string
	var all, deleted bool
	cmd := &cobra.Command{
		Use:   "get [KIND [NAME]]",
		Short: "List documents, or show one",
		Long: `List documents, or show one: as the manifest that "gantry apply -f" takes, or with -o content its
content alone. Without --version it is the released version, or the latest when none is released.`,
		Example: `  gantry get
  gantry get Config
  gantry get Config loan.yaml
  gantry get Config loan.yaml --version 3 -o content > loan.yaml`,
		Args:              arguments(0, 2),
		Annotations:       map[string]string{extraFormats: "true"},
		ValidArgsFunction: c.completeDocuments,
	}
	cmd.Flags().Int64Var(&version, "version", 0, "this `version`")
	cmd.Flags().StringVar(&search, "search", "", "list those whose name holds this `text`")
	cmd.Flags().BoolVar(&deleted, "deleted", false, "list deleted documents too")
	allFlag(cmd, &all)
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		if len(args) == 2 || len(args) == 1 && strings.Contains(args[0], "/") {
			if search != "" || all || deleted {
				return usage(cmd, "--search, --deleted and --all-namespaces are for lists")
			}
			ref, err := c.documentRef(args)
			if err != nil {
				return err
			}
			return c.getDocument(ctx, ref, version)
		}
		if version != 0 || c.flags.output == outputContent || c.flags.output == outputManifest {
			return usage(cmd, "say which document: want KIND NAME")
		}
		kind := ""
		if len(args) == 1 {
			kind = kindOf(args[0])
		}
		return c.listDocuments(ctx, kind, search, all, deleted)
	})
	complete(cmd, "version", c.completeVersions)
	return cmd
}

func (c *cli) listDocuments(ctx context.Context, kind, search string, all, deleted bool) error {
	namespace, err := c.scope(all)
	if err != nil {
		return err
	}
	documents, err := c.documents(ctx, &gantryv1.ListRequest{Namespace: namespace, Kind: kind, Search: search, IncludeDeleted: deleted}, 0)
	if err != nil {
		return err
	}
	return answerList(c, documents, func() *table {
		column := wide("NAMESPACE")
		column.wide = !all
		t := newTable("There are no such documents.", column, col("KIND"), col("NAME"), number("RELEASED"), number("LATEST"), col("STAGED"),
			col("CHANGED"), wide("BY"), wide("FORMAT"), wide("SENSITIVE"), wide("REVISION"))
		for _, d := range documents {
			t.add(d.GetRef().GetNamespace(), d.GetRef().GetKind(), d.GetRef().GetName(), c.releasedCell(d), d.GetLatestVersion(), stagedText(d.GetRollout()),
				c.age(d.GetUpdatedAt()), dash(d.GetAuthor()), d.GetFormat(), d.GetSensitive(), d.GetRevision())
		}
		return t
	})
}

func (c *cli) releasedCell(d *gantryv1.Document) cell {
	switch {
	case d.GetDeleted():
		return cell{"deleted", c.painter().faint}
	case d.GetReleasedVersion() == 0:
		return cell{"-", nil}
	case d.GetReleasedVersion() < d.GetLatestVersion():
		return cell{fmt.Sprint(d.GetReleasedVersion()), c.painter().yellow}
	default:
		return cell{fmt.Sprint(d.GetReleasedVersion()), nil}
	}
}

func stagedText(r *gantryv1.Rollout) string {
	if r == nil {
		return "-"
	}
	return fmt.Sprintf("%d for %s", r.GetVersion(), cohortText(r.GetCohort()))
}

// documents asks for all pages, or for the first few when most is above 0.
func (c *cli) documents(ctx context.Context, request *gantryv1.ListRequest, most int) ([]*gantryv1.Document, error) {
	r, err := c.connect()
	if err != nil {
		return nil, err
	}
	request.PageSize = pageSize
	var documents []*gantryv1.Document
	for {
		page, err := r.releases.List(ctx, request)
		if err != nil {
			return nil, err
		}
		documents = append(documents, page.GetDocuments()...)
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" || most > 0 && len(documents) >= most {
			return documents, nil
		}
	}
}

func (c *cli) getDocument(ctx context.Context, ref *gantryv1.DocumentRef, version int64) error {
	r, err := c.connect()
	if err != nil {
		return err
	}
	got, err := r.releases.Get(ctx, &gantryv1.GetRequest{Ref: ref, Version: version})
	if err != nil {
		return err
	}
	switch c.flags.output {
	case outputTable, outputWide:
		return c.showDocument(got)
	}
	return c.answer(got, func() error {
		v := got.GetVersion()
		if v.GetWithheld() {
			return fault.New(fault.Forbidden, "document.withheld", "version %d of %s is sensitive, and its content is withheld from you", v.GetVersion(), c.fullName(ref)).
				Hinted("ask for the role of a releaser in %s", ref.GetNamespace())
		}
		text := v.GetContent()
		if c.flags.output != outputContent {
			if text, err = policy.FormatManifest(manifestOf(got.GetDocument().GetRef(), v)); err != nil {
				return err
			}
		}
		_, err := c.out.Write(text)
		return err
	})
}

func manifestOf(ref *gantryv1.DocumentRef, v *gantryv1.Version) policy.Document {
	return policy.Document{Namespace: ref.GetNamespace(), Kind: ref.GetKind(), Name: ref.GetName(), Format: v.GetFormat(), Content: v.GetContent(), Sensitive: v.GetSensitive()}
}

// showDocument tells about a document without its content.
func (c *cli) showDocument(got *gantryv1.GetResponse) error {
	d, v := got.GetDocument(), got.GetVersion()
	return c.printPairs(
		"Document", c.fullName(d.GetRef()),
		"Latest", fmt.Sprint(d.GetLatestVersion()),
		"Released", c.releasedCell(d).text,
		"Staged", stagedText(d.GetRollout()),
		"Revision", fmt.Sprint(d.GetRevision()),
		"Shown", fmt.Sprintf("version %d, %s, %d bytes", v.GetVersion(), v.GetFormat(), v.GetSize()),
		"Sensitive", fmt.Sprint(v.GetSensitive()),
		"Checksum", dash(v.GetChecksum()),
		"By", fmt.Sprintf("%s at %s", v.GetAuthor(), clock(v.GetCreatedAt())),
		"Message", dash(v.GetMessage()),
	)
}

// printPairs writes names and values, one a line.
func (c *cli) printPairs(pairs ...string) error {
	var b strings.Builder
	widest := 0
	for i := 0; i < len(pairs); i += 2 {
		widest = max(widest, columnsOf(pairs[i]))
	}
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "%s%s  %s\n", pairs[i], strings.Repeat(" ", widest-columnsOf(pairs[i])), printable(pairs[i+1]))
	}
	_, err := c.out.Write([]byte(b.String()))
	return err
}

func (c *cli) historyCommand() *cobra.Command {
	var limit uint32
	cmd := &cobra.Command{
		Use:   "history KIND NAME",
		Short: "Show what happened to a document: who, when, what and why",
		Example: `  gantry history Config loan.yaml
  gantry history Config loan.yaml --limit 5 -o json`,
		Args:              arguments(1, 2),
		ValidArgsFunction: c.completeDocuments,
		RunE: action(func(ctx context.Context, args []string) error {
			ref, err := c.documentRef(args)
			if err != nil {
				return err
			}
			r, err := c.connect()
			if err != nil {
				return err
			}
			history, err := r.releases.History(ctx, &gantryv1.HistoryRequest{Ref: ref, Limit: limit})
			if err != nil {
				return err
			}
			return c.answer(history, func() error { return c.printTable(c.historyTable(history)) })
		}),
	}
	cmd.Flags().Uint32Var(&limit, "limit", 100, "at most so many `entries`, newest first; at most 1000")
	return cmd
}

func (c *cli) historyTable(history *gantryv1.HistoryResponse) *table {
	versions := map[int64]*gantryv1.Version{}
	for _, v := range history.GetVersions() {
		versions[v.GetVersion()] = v
	}
	t := newTable("Nothing happened to it yet.", col("TIME"), col("ACTION"), number("VERSION"), number("BEFORE"), col("FOR"), col("WHO"), col("MESSAGE"),
		wide("FORMAT"), wide("SIZE"), wide("CHECKSUM"))
	for _, e := range history.GetEntries() {
		v := versions[e.GetVersion()]
		size := "-"
		if v != nil {
			size = bytesText(uint64(v.GetSize()))
		}
		t.add(clock(e.GetAt()), actionCell(c.painter(), e.GetAction()), versionText(e.GetVersion()), versionText(e.GetPreviousVersion()),
			historyCohort(e), e.GetAuthor(), dash(e.GetMessage()), dash(v.GetFormat()), size, dash(v.GetChecksum()))
	}
	return t
}

func historyCohort(e *gantryv1.HistoryEntry) string {
	if e.GetCohort() == nil {
		return "-"
	}
	return cohortText(e.GetCohort())
}

func actionCell(paint painter, action gantryv1.Action) cell {
	text := word(action, "ACTION_")
	switch action {
	case gantryv1.Action_ACTION_RELEASED, gantryv1.Action_ACTION_PROMOTED:
		return cell{text, paint.green}
	case gantryv1.Action_ACTION_ABORTED, gantryv1.Action_ACTION_ROLLED_BACK:
		return cell{text, paint.yellow}
	case gantryv1.Action_ACTION_DELETED:
		return cell{text, paint.red}
	default:
		return cell{text, nil}
	}
}

func versionText(version int64) string {
	if version == 0 {
		return "-"
	}
	return fmt.Sprint(version)
}
