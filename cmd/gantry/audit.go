package main

import (
	"context"

	"github.com/spf13/cobra"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) auditCommand() *cobra.Command {
	var all bool
	var actor, deed, target, since, until string
	var limit int
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed what, newest first",
		Example: `  gantry audit --since 1h
  gantry audit --actor user:ann --action document. --limit 20
  gantry audit --target Config/loan.yaml -o json`,
		Args: arguments(0, 0),
	}
	allFlag(cmd, &all)
	f := cmd.Flags()
	f.StringVar(&actor, "actor", "", "only changes by this `actor`, such as user:ann")
	f.StringVar(&deed, "action", "", "only actions that start with this `word`, such as document.")
	f.StringVar(&target, "target", "", "only changes of this `target`, such as Config/loan.yaml")
	f.StringVar(&since, "since", "", "not before this `time`: how long ago (90m), a date, or RFC 3339")
	f.StringVar(&until, "until", "", "before this `time`")
	f.IntVar(&limit, "limit", 100, "at most so many `records`; 0 for all")
	cmd.RunE = action(func(ctx context.Context, _ []string) error {
		if limit < 0 {
			return usage(cmd, "a limit of %d", limit)
		}
		namespace, err := c.scope(all)
		if err != nil {
			return err
		}
		request := &gantryv1.ListAuditRequest{Namespace: namespace, Actor: actor, Action: deed, Target: target}
		if request.Since, err = c.parseMoment("since", since); err != nil {
			return err
		}
		if request.Until, err = c.parseMoment("until", until); err != nil {
			return err
		}
		records, err := c.auditRecords(ctx, request, limit)
		if err != nil {
			return err
		}
		return answerList(c, records, func() *table { return c.auditTable(records, all) })
	})
	return cmd
}

// auditRecords asks for pages until there are enough; most 0 is all.
func (c *cli) auditRecords(ctx context.Context, request *gantryv1.ListAuditRequest, most int) ([]*gantryv1.AuditRecord, error) {
	r, err := c.connect()
	if err != nil {
		return nil, err
	}
	var records []*gantryv1.AuditRecord
	for {
		request.PageSize = pageSize
		if left := most - len(records); most > 0 {
			request.PageSize = uint32(min(left, pageSize))
		}
		page, err := r.access.ListAudit(ctx, request)
		if err != nil {
			return nil, err
		}
		records = append(records, page.GetRecords()...)
		if most > 0 && len(records) >= most {
			return records[:most], nil
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return records, nil
		}
	}
}

func (c *cli) auditTable(records []*gantryv1.AuditRecord, all bool) *table {
	namespace := wide("NAMESPACE")
	namespace.wide = !all
	t := newTable("There are no such records.", col("TIME"), col("ACTOR"), col("ACTION"), namespace, col("TARGET"), col("MESSAGE"),
		wide("SOURCE"), wide("BEFORE"), wide("AFTER"))
	for _, r := range records {
		t.add(clock(r.GetAt()), r.GetActor(), r.GetAction(), dash(r.GetNamespace()), dash(r.GetTarget()), dash(r.GetMessage()),
			dash(r.GetSource()), dash(r.GetBefore()), dash(r.GetAfter()))
	}
	return t
}
