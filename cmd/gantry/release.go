package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// cohortFlags choose instances for a staged release.
type cohortFlags struct {
	percent   string
	labels    []string
	addresses []string
}

func (f *cohortFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.percent, "percent", "", "for this `share` of the instances, such as 10")
	cmd.Flags().StringArrayVarP(&f.labels, "label", "l", nil, "for instances with this label, `key=value`; may be repeated, all must match")
	cmd.Flags().StringArrayVar(&f.addresses, "to", nil, "for the instances at this `address` or CIDR range; may be repeated")
}

// cohort is nil when no flag was given: everyone.
func (f *cohortFlags) cohort() (*gantryv1.Cohort, error) {
	if f.percent == "" && len(f.labels) == 0 && len(f.addresses) == 0 {
		return nil, nil
	}
	labels, err := parsePairs("label", f.labels)
	if err != nil {
		return nil, err
	}
	cohort := &gantryv1.Cohort{Labels: labels, Addresses: f.addresses}
	if f.percent != "" {
		share, err := parsePercent(f.percent)
		if err != nil {
			return nil, err
		}
		cohort.Percent = &share
	}
	return cohort, nil
}

// cohortText says whom a cohort chooses.
func cohortText(cohort *gantryv1.Cohort) string {
	var parts []string
	if cohort.GetPercent() > 0 {
		parts = append(parts, decimal(cohort.GetPercent())+"%")
	}
	if len(cohort.GetLabels()) > 0 {
		parts = append(parts, "label "+pairs(cohort.GetLabels()))
	}
	if len(cohort.GetAddresses()) > 0 {
		parts = append(parts, "at "+strings.Join(cohort.GetAddresses(), ","))
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, ", ")
}

// change is what the commands that change who gets a document have in common.
type change struct {
	message  string
	revision int64
	set      func() bool
}

func (c *cli) changeFlags(cmd *cobra.Command, ch *change) {
	messageFlag(cmd, &ch.message)
	cmd.Flags().Int64Var(&ch.revision, "expect-revision", 0, "only if the document is still at this `revision` (gantry get -o wide)")
	ch.set = func() bool { return cmd.Flags().Changed("expect-revision") }
	cmd.ValidArgsFunction = c.completeDocuments
	cmd.Args = arguments(1, 2)
}

func (ch *change) expected() *int64 {
	if !ch.set() {
		return nil
	}
	return &ch.revision
}

func (c *cli) releaseCommand() *cobra.Command {
	var ch change
	var chosen cohortFlags
	var version int64
	var preview, yes bool
	cmd := &cobra.Command{
		Use:   "release KIND NAME",
		Short: "Put a version in force: for all, or for a stage of the instances",
		Long: `Put a version in force: for all, or with --percent, --label and --to for a stage of the instances (all
that is given must match). Called again with another stage it moves there; "gantry promote" gives the version
to all, "gantry abort" takes it back.

With --preview the chosen instances are shown first, and a person is asked.`,
		Example: `  gantry release Config loan.yaml
  gantry release Config loan.yaml --version 4 --percent 10 --preview
  gantry release Config loan.yaml --label zone=north --message "canary"`,
	}
	c.changeFlags(cmd, &ch)
	chosen.add(cmd)
	cmd.Flags().Int64Var(&version, "version", 0, "this `version`; default: the latest")
	cmd.Flags().BoolVar(&preview, "preview", false, "show the chosen instances and ask first")
	yesFlag(cmd, &yes)
	complete(cmd, "version", c.completeVersions)
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		ref, err := c.documentRef(args)
		if err != nil {
			return err
		}
		cohort, err := chosen.cohort()
		if err != nil {
			return err
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		if preview {
			if err := c.askAfterPreview(ctx, ref, cohort, yes); err != nil {
				return err
			}
		}
		released, err := r.releases.Release(ctx, &gantryv1.ReleaseRequest{Ref: ref, Version: version, Cohort: cohort, Message: ch.message, ExpectedRevision: ch.expected()})
		return c.changed(released, err)
	})
	return cmd
}

// askAfterPreview shows whom a release would reach on errOut, so that the answer stays alone on out.
func (c *cli) askAfterPreview(ctx context.Context, ref *gantryv1.DocumentRef, cohort *gantryv1.Cohort, yes bool) error {
	previewed, err := c.remote.releases.Preview(ctx, &gantryv1.PreviewRequest{Ref: ref, Cohort: cohort})
	if err != nil {
		return err
	}
	aside := *c
	aside.out, aside.colour, aside.flags.output = c.errOut, bool(c.errPainter()), outputTable
	if err := aside.printPreview(previewed); err != nil {
		return err
	}
	return c.confirm(ctx, yes, "Release %s to %s of %d instances?", c.fullName(ref), plural(len(previewed.GetChosen()), "instance", "instances"), previewed.GetTotal())
}

// changed answers with who gets what now.
func (c *cli) changed(response *gantryv1.ReleaseResponse, err error) error {
	if err != nil {
		return err
	}
	return c.answer(response, func() error { return c.say("%s", c.whoGetsWhat(response.GetDocument())) })
}

// whoGetsWhat says which versions are in force, and for whom.
func (c *cli) whoGetsWhat(d *gantryv1.Document) string {
	name := c.fullName(d.GetRef())
	rest := fmt.Sprintf("version %d", d.GetReleasedVersion())
	if d.GetReleasedVersion() == 0 {
		rest = "nothing"
	}
	switch rollout := d.GetRollout(); {
	case d.GetDeleted():
		return name + " is deleted; its history stays"
	case rollout != nil:
		return fmt.Sprintf("%s: version %d for %s, %s for the rest", name, rollout.GetVersion(), cohortText(rollout.GetCohort()), rest)
	case d.GetReleasedVersion() == 0:
		return fmt.Sprintf("%s: nothing is released; the latest version is %d", name, d.GetLatestVersion())
	default:
		return fmt.Sprintf("%s: %s for all", name, rest)
	}
}

func (c *cli) promoteCommand() *cobra.Command {
	var ch change
	cmd := &cobra.Command{
		Use:     "promote KIND NAME",
		Short:   "Give the version of a staged release to all",
		Example: `  gantry promote Config loan.yaml --message "a day without trouble"`,
	}
	c.changeFlags(cmd, &ch)
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		ref, err := c.documentRef(args)
		if err != nil {
			return err
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		return c.changed(r.releases.Promote(ctx, &gantryv1.PromoteRequest{Ref: ref, Message: ch.message, ExpectedRevision: ch.expected()}))
	})
	return cmd
}

func (c *cli) abortCommand() *cobra.Command {
	var ch change
	cmd := &cobra.Command{
		Use:     "abort KIND NAME",
		Short:   "End a staged release: its instances return to the released version",
		Example: `  gantry abort Config loan.yaml --message "refusals went up"`,
	}
	c.changeFlags(cmd, &ch)
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		ref, err := c.documentRef(args)
		if err != nil {
			return err
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		return c.changed(r.releases.Abort(ctx, &gantryv1.AbortRequest{Ref: ref, Message: ch.message, ExpectedRevision: ch.expected()}))
	})
	return cmd
}

func (c *cli) rollbackCommand() *cobra.Command {
	var ch change
	var version int64
	var yes bool
	cmd := &cobra.Command{
		Use:   "rollback KIND NAME",
		Short: "Release an earlier version to all, and end a staged release",
		Long: `Release an earlier version to all, and end a staged release under way. Without --version it is the
version that was released before the current one. A deleted document comes back.`,
		Example: `  gantry rollback Config loan.yaml --message "incident 17"
  gantry rollback Config loan.yaml --version 3 --yes`,
	}
	c.changeFlags(cmd, &ch)
	cmd.Flags().Int64Var(&version, "version", 0, "this `version`; default: the one released before")
	yesFlag(cmd, &yes)
	complete(cmd, "version", c.completeVersions)
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		ref, err := c.documentRef(args)
		if err != nil {
			return err
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		to := "the version released before"
		if version != 0 {
			to = fmt.Sprintf("version %d", version)
		}
		if err := c.confirm(ctx, yes, "Roll %s back to %s, for all?", c.fullName(ref), to); err != nil {
			return err
		}
		return c.changed(r.releases.Rollback(ctx, &gantryv1.RollbackRequest{Ref: ref, Version: version, Message: ch.message, ExpectedRevision: ch.expected()}))
	})
	return cmd
}

func (c *cli) deleteCommand() *cobra.Command {
	var ch change
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete KIND NAME",
		Short: "Delete a document: nobody gets it any more, its history stays",
		Example: `  gantry delete Config loan.yaml --message "moved to risk.yaml"
  gantry rollback Config loan.yaml    # brings it back`,
	}
	c.changeFlags(cmd, &ch)
	yesFlag(cmd, &yes)
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		ref, err := c.documentRef(args)
		if err != nil {
			return err
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		if err := c.confirm(ctx, yes, "Delete %s? Whoever uses it gets nothing any more.", c.fullName(ref)); err != nil {
			return err
		}
		return c.changed(r.releases.Delete(ctx, &gantryv1.DeleteRequest{Ref: ref, Message: ch.message, ExpectedRevision: ch.expected()}))
	})
	return cmd
}

func (c *cli) previewCommand() *cobra.Command {
	var chosen cohortFlags
	cmd := &cobra.Command{
		Use:   "preview KIND NAME",
		Short: "Show which live instances a staged release would choose",
		Example: `  gantry preview Config loan.yaml --percent 10
  gantry preview Config loan.yaml --label zone=north --to 10.1.0.0/16`,
		Args:              arguments(1, 2),
		ValidArgsFunction: c.completeDocuments,
		RunE: action(func(ctx context.Context, args []string) error {
			ref, err := c.documentRef(args)
			if err != nil {
				return err
			}
			cohort, err := chosen.cohort()
			if err != nil {
				return err
			}
			r, err := c.connect()
			if err != nil {
				return err
			}
			previewed, err := r.releases.Preview(ctx, &gantryv1.PreviewRequest{Ref: ref, Cohort: cohort})
			if err != nil {
				return err
			}
			return c.answer(previewed, func() error { return c.printPreview(previewed) })
		}),
	}
	chosen.add(cmd)
	return cmd
}

func (c *cli) printPreview(previewed *gantryv1.PreviewResponse) error {
	t := newTable("No live instance would be chosen.", col("SERVICE"), col("INSTANCE"), col("ADDRESS"), col("LABELS"))
	for _, s := range previewed.GetChosen() {
		t.add(dash(s.GetService().GetService()), s.GetInstanceId(), dash(s.GetAddress()), dash(pairs(s.GetLabels())))
	}
	if err := c.printTable(t); err != nil {
		return err
	}
	fmt.Fprintf(c.errOut, "%d of %d instances are chosen.\n", len(previewed.GetChosen()), previewed.GetTotal())
	return nil
}

func (c *cli) appliedCommand() *cobra.Command {
	var drift bool
	cmd := &cobra.Command{
		Use:   "applied KIND NAME",
		Short: "Show which instance runs which version, and since when",
		Example: `  gantry applied Config loan.yaml
  gantry applied Config loan.yaml --drift`,
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
			applied, err := r.releases.Applied(ctx, &gantryv1.AppliedRequest{Ref: ref})
			if err != nil {
				return err
			}
			if len(applied.GetMissingNodes()) > 0 {
				c.warn("these nodes did not answer, and what they know is missing: %s", strings.Join(applied.GetMissingNodes(), ", "))
			}
			if drift {
				applied.Reports = drifted(applied.GetReports())
			}
			return c.answer(applied, func() error { return c.printTable(c.appliedTable(applied)) })
		}),
	}
	cmd.Flags().BoolVar(&drift, "drift", false, "only instances that do not run what they should")
	return cmd
}

func inForce(report *gantryv1.AppliedReport) bool {
	return report.GetError() == "" && report.GetVersion() == report.GetWantedVersion()
}

func drifted(reports []*gantryv1.AppliedReport) []*gantryv1.AppliedReport {
	var kept []*gantryv1.AppliedReport
	for _, report := range reports {
		if !inForce(report) {
			kept = append(kept, report)
		}
	}
	return kept
}

func (c *cli) appliedTable(applied *gantryv1.AppliedResponse) *table {
	t := newTable("No instance has reported on it.", col("SERVICE"), col("INSTANCE"), number("VERSION"), number("WANTED"), col("STATE"), col("SINCE"),
		wide("NODE"), wide("CHECKSUM"), wide("LABELS"))
	paint := c.painter()
	for _, report := range applied.GetReports() {
		state := cell{"applied", paint.green}
		switch {
		case report.GetError() != "":
			state = cell{"refused: " + report.GetError(), paint.red}
		case !inForce(report):
			state = cell{"behind", paint.yellow}
		}
		s := report.GetSubject()
		t.add(dash(s.GetService().GetService()), s.GetInstanceId(), versionText(report.GetVersion()), versionText(report.GetWantedVersion()), state,
			clock(report.GetAppliedAt()), dash(report.GetNode()), dash(report.GetChecksum()), dash(pairs(s.GetLabels())))
	}
	return t
}
