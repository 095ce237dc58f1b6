package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/migrate"
)

// reportEvery is the time between two lines of progress where there is no terminal to draw on.
const reportEvery = 5 * time.Second

// copyConfiguration copies and prints the report, also of a copy that was stopped. It reports whether everything was taken.
func (c *cli) copyConfiguration(ctx context.Context, r *remote, m *migration, source migrate.ConfigSource, from *url.URL) (complete bool, err error) {
	copier := migrate.Copier{Source: source, URL: sourceName(from), Releases: r.releases, Instances: r.instances, Options: m.copying, Explain: c.explain,
		Progress: c.copyProgress("looking at documents")}
	report, err := copier.Run(ctx)
	c.clearProgress()
	if _, wrong := fault.As(err); wrong && report.Found == 0 {
		return false, err // there is nothing to report
	}
	if printErr := c.printReport(report); printErr != nil {
		return false, printErr
	}
	return report.Complete(), err
}

// copyProgress tells progress: drawn over itself on a terminal, otherwise in a line now and then.
func (c *cli) copyProgress(what string) func(done, total int) {
	last := c.now()
	return func(done, total int) {
		c.progress(what, done, total)
		if now := c.now(); !c.live && now.Sub(last) >= reportEvery {
			last = now
			fmt.Fprintf(c.errOut, "%s: %d of %d\n", what, done, total)
		}
	}
}

func (c *cli) printReport(report *migrate.Report) error {
	if c.flags.output.machine() {
		return c.answerValue(report)
	}
	columns := append([]column{col("NAMESPACE")}, effectColumns()...)
	t := newTable("There is nothing to take.", columns...)
	for _, n := range report.Namespaces {
		name := n.Name
		if n.Created {
			name += " (new)"
		}
		row := []any{name}
		for _, effect := range migrate.Effects() {
			row = append(row, n.Counts[effect])
		}
		t.add(row...)
	}
	if err := c.printTable(t); err != nil {
		return err
	}
	if err := c.printRefusals(report); err != nil {
		return err
	}
	c.printNotes(report)
	c.printSummary(report)
	return nil
}

func effectColumns() []column {
	var columns []column
	for _, effect := range migrate.Effects() {
		name := number(strings.ToUpper(string(effect)))
		name.wide = effect == migrate.LeftOut
		columns = append(columns, name)
	}
	return columns
}

func (c *cli) printRefusals(report *migrate.Report) error {
	if len(report.Refusals) == 0 {
		return nil
	}
	fmt.Fprintln(c.out)
	t := newTable("", col("NOT TAKEN"), col("WHY"), wide("HINT"))
	for _, refusal := range report.Refusals {
		why := refusal.Message
		switch {
		case refusal.Line > 0:
			why = fmt.Sprintf("line %d: %s", refusal.Line, why)
		case refusal.Field != "":
			why = refusal.Field + ": " + why
		}
		t.add(refusal.Origin, why, refusal.Hint)
	}
	if err := c.printTable(t); err != nil {
		return err
	}
	if report.MoreRefusals > 0 {
		fmt.Fprintf(c.out, "and %d more\n", report.MoreRefusals)
	}
	return nil
}

func (c *cli) printNotes(report *migrate.Report) {
	for _, note := range report.Notes {
		text := note.Text
		if note.Origin != "" {
			text = note.Origin + ": " + text
		}
		fmt.Fprintf(c.errOut, "note: %s\n", printable(text))
	}
	if report.MoreNotes > 0 {
		fmt.Fprintf(c.errOut, "note: and %d more\n", report.MoreNotes)
	}
}

func (c *cli) printSummary(report *migrate.Report) {
	summary := ""
	for _, effect := range migrate.Effects() {
		if n := report.Counts[effect]; n > 0 {
			summary += fmt.Sprintf(", %d %s", n, effect)
		}
	}
	text := plural(report.Found, "document", "documents") + strings.Replace(summary, ", ", ": ", 1)
	if report.DryRun {
		text = "nothing was changed; it would be: " + text
	}
	fmt.Fprintln(c.errOut, text)
	if report.Stopped != nil {
		where := "before the first document"
		if report.Stopped.After != "" {
			where = "after " + report.Stopped.After
		}
		fmt.Fprintf(c.errOut, "stopped %s; run it again to go on\n", printable(where))
	}
}
