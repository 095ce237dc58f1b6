package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// applyOptions are the flags of apply; import has some of them.
type applyOptions struct {
	purpose
	message   string
	expect    *int64
	dryRun    bool
	keepGoing bool
	// brief leaves out what did not change.
	brief bool
}

func (c *cli) applyCommand() *cobra.Command {
	var files []string
	var o applyOptions
	var chosen cohortFlags
	var expect int64
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Publish and release what manifests say",
		Long: `Publish and release what manifests say. All of them are validated on the server before the first is
published. What is in force already is left as it is, so that applying the same again changes nothing.

Schemas are applied before the documents that they bind. The first document that fails ends the command, unless
--keep-going is given; what was applied before stays.`,
		Example: `  gantry apply -f loan.yaml
  gantry apply -f deploy/ --dry-run
  gantry apply -f loan.yaml --percent 10 --message "new rates"
  gantry get Config loan.yaml | sed 's/limit: 5/limit: 6/' | gantry apply -f -`,
		Args: arguments(0, 0),
	}
	filesFlag(cmd, &files)
	chosen.add(cmd)
	messageFlag(cmd, &o.message)
	cmd.Flags().BoolVar(&o.draft, "draft", false, "publish without releasing")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would change, and change nothing")
	cmd.Flags().BoolVar(&o.keepGoing, "keep-going", false, "go on with the next document when one is refused")
	cmd.Flags().Int64Var(&expect, "expect", 0, "only if this is the document's latest `version`; 0: only if there is none")
	cmd.RunE = action(func(ctx context.Context, _ []string) error {
		var err error
		if o.cohort, err = chosen.cohort(); err != nil {
			return err
		}
		if o.draft && o.cohort != nil {
			return usage(cmd, "--draft releases nothing, and --percent, --label and --to say to whom")
		}
		if cmd.Flags().Changed("expect") {
			o.expect = &expect
		}
		return c.apply(ctx, files, o)
	})
	return cmd
}

func (c *cli) apply(ctx context.Context, files []string, o applyOptions) error {
	manifests, err := c.readManifests(ctx, files)
	if err != nil {
		return err
	}
	if o.expect != nil && len(manifests) != 1 {
		return fault.New(fault.Invalid, "cli.usage", "--expect is for one document, and there are %d", len(manifests)).At("expect").Hinted("apply them one by one")
	}
	r, err := c.connect()
	if err != nil {
		return err
	}
	run := &applyRun{cli: c, remote: r, options: o, counts: map[effect]int{}}
	verdicts, err := c.verdicts(ctx, r, manifests, !o.draft && o.cohort == nil, o.expect)
	if err != nil {
		return err
	}
	for i, v := range verdicts {
		c.printWarnings(manifests[i], v.warnings)
		if v.err != nil {
			run.fail(planned{manifest: manifests[i]}, v.err)
		}
	}
	if run.failed.count > 0 {
		// All or nothing is decided here: what comes later can be refused for other reasons only.
		return run.finish("nothing was applied")
	}
	plans, err := c.plan(ctx, r, manifests, o.purpose)
	if err != nil {
		return err
	}
	run.all(ctx, plans)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return run.finish("")
}

// applyRun is one apply under way.
type applyRun struct {
	cli     *cli
	remote  *remote
	options applyOptions
	counts  map[effect]int
	failed  failures
	answers []applied
}

// applied is an answer of apply for programs.
type applied struct {
	File     string          `json:"file"`
	Effect   effect          `json:"effect"`
	Version  int64           `json:"version,omitempty"`
	Document json.RawMessage `json:"document,omitempty"`
	Diff     string          `json:"diff,omitempty"`
	Error    *object         `json:"error,omitempty"`
}

func (a *applyRun) all(ctx context.Context, plans []planned) {
	for i, plan := range plans {
		if ctx.Err() != nil {
			return
		}
		a.cli.progress("applying", i, len(plans))
		if err := a.one(ctx, plan); err != nil {
			a.fail(plan, err)
			if !a.options.keepGoing || !aboutDocument(a.cli.explain(err)) {
				break
			}
		}
	}
	a.cli.progress("applying", len(plans), len(plans))
}

func (a *applyRun) one(ctx context.Context, plan planned) error {
	switch {
	case a.options.dryRun:
		return a.rehearse(ctx, plan)
	case plan.effect == effectNone && a.options.expect == nil:
		return a.done(plan, plan.head, plan.version)
	}
	request := publishRequest(plan.manifest)
	request.Message, request.ExpectedVersion = a.options.message, a.options.expect
	request.Release = !a.options.draft && a.options.cohort == nil
	published, err := a.remote.releases.Publish(ctx, request)
	if err != nil {
		return err
	}
	document := published.GetDocument()
	if plan.effect == effectUpdate && published.GetUnchanged() {
		// Its content could not be compared here.
		plan.effect = a.options.effectOn(plan.head, true)
	}
	if a.options.cohort != nil && plan.effect != effectNone {
		released, err := a.remote.releases.Release(ctx, &gantryv1.ReleaseRequest{Ref: refOf(plan.manifest), Version: published.GetVersion(),
			Cohort: a.options.cohort, Message: a.options.message})
		if err != nil {
			return err
		}
		document = released.GetDocument()
	}
	return a.done(plan, document, published.GetVersion())
}

// rehearse says what would change, and how.
func (a *applyRun) rehearse(ctx context.Context, plan planned) error {
	difference := ""
	// A rehearsal is often logged: what is sensitive is not shown.
	if plan.effect == effectUpdate && !plan.manifest.Sensitive && !plan.head.GetSensitive() {
		var err error
		if difference, err = a.cli.difference(ctx, a.remote, plan.manifest, plan.head.GetLatestVersion()); err != nil {
			return err
		}
	}
	a.counts[plan.effect]++
	a.answers = append(a.answers, applied{File: plan.manifest.File, Effect: plan.effect, Document: rawOf(plan.head), Diff: difference})
	if a.cli.flags.output.machine() || a.options.brief && plan.effect == effectNone {
		return nil
	}
	would := "would be " + string(plan.effect)
	if plan.effect == effectNone {
		would = string(effectNone)
	}
	if err := a.cli.say("%s %s", a.cli.fullName(refOf(plan.manifest)), would); err != nil {
		return err
	}
	return a.cli.printDiff(difference)
}

func rawOf(document *gantryv1.Document) json.RawMessage {
	if document == nil {
		return nil
	}
	data, err := shapes.Marshal(document)
	if err != nil {
		return nil
	}
	return data
}

func (a *applyRun) done(plan planned, document *gantryv1.Document, version int64) error {
	a.counts[plan.effect]++
	a.answers = append(a.answers, applied{File: plan.manifest.File, Effect: plan.effect, Version: version, Document: rawOf(document)})
	if a.cli.flags.output.machine() || a.options.brief && plan.effect == effectNone {
		return nil
	}
	detail := fmt.Sprintf("version %d", version)
	switch {
	case a.options.draft && plan.effect != effectNone:
		detail += ", not released"
	case document.GetRollout() != nil:
		detail += " for " + cohortText(document.GetRollout().GetCohort())
	}
	return a.cli.say("%s %s (%s)", a.cli.fullName(refOf(plan.manifest)), plan.effect, detail)
}

func (a *applyRun) fail(plan planned, err error) {
	f := a.cli.locate(plan.manifest, err)
	a.failed.add(f)
	a.counts[effectFailed]++
	o := errorObject(f)
	a.answers = append(a.answers, applied{File: plan.manifest.File, Effect: effectFailed, Error: &o})
	if !a.cli.flags.output.machine() {
		if f.Line == 0 {
			named := *f
			named.Message = a.cli.fullName(refOf(plan.manifest)) + ": " + f.Message
			f = &named
		}
		a.cli.printFault("error", a.cli.errPainter().red, f)
	}
}

// finish prints the answer for programs, or a summary of many documents.
func (a *applyRun) finish(outcome string) error {
	c := a.cli
	if c.flags.output.machine() {
		if a.answers == nil {
			a.answers = []applied{}
		}
		if err := c.answerValue(a.answers); err != nil {
			return err
		}
		return a.failed.status()
	}
	if outcome != "" {
		fmt.Fprintln(c.errOut, outcome)
	} else if len(a.answers) > 1 || a.options.brief {
		summary := ""
		for _, e := range []effect{effectCreate, effectUpdate, effectRelease, effectStage, effectNone, effectFailed} {
			if n := a.counts[e]; n > 0 {
				summary += fmt.Sprintf(", %d %s", n, e)
			}
		}
		would := ""
		if a.options.dryRun {
			would = "nothing was changed; it would be: "
		}
		if summary != "" {
			fmt.Fprintln(c.errOut, would+summary[len(", "):])
		}
	}
	return a.failed.status()
}
