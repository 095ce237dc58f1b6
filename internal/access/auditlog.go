package access

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

const (
	defaultAuditPage = 100
	maxAuditPage     = 1000
	// How much one call reads at a time, and in all: a filter that few records pass must not hold up the state. The next
	// page goes on from there.
	auditBatch   = 250
	maxAuditScan = 5000
)

// ListAudit returns audit records, newest first, and the token of the next page; no token means that there are no more. A page
// can hold fewer records than asked for, even none, while there are more.
//
// Since and until count in milliseconds; since is included, until is not. A record is shown to those with [View] on its
// namespace, what concerns the cluster to those with [Administer] everywhere. Errors: Invalid with reason
// "access.bad_page_token", "access.bad_page_size" or "access.bad_period", and those of [Require].
func (m *Manager) ListAudit(ctx context.Context, request *gantryv1.ListAuditRequest) (
	records []*gantryv1.AuditRecord, next string, err error) {
	i := FromContext(ctx)
	switch namespace := request.GetNamespace(); {
	case namespace == "" && !i.somewhere(View):
		return nil, "", Require(ctx, View, everywhere)
	case namespace != "" && !mayAudit(i, namespace):
		if namespace == everywhere {
			return nil, "", Require(ctx, Administer, everywhere)
		}
		return nil, "", Require(ctx, View, namespace)
	}
	after, before, size, err := auditRange(request)
	if err != nil {
		return nil, "", err
	}
	for scanned := 0; scanned < maxAuditScan; {
		found, err := m.store.List(ctx, state.Prefix(auditRoom), state.ListOptions{After: after, Before: before, Limit: auditBatch})
		if err != nil {
			return nil, "", err
		}
		for _, stored := range found {
			after = stored.Key
			record, ok := m.decodeAudit(stored)
			if !ok || !passes(record, request) || !mayAudit(i, record.GetNamespace()) {
				continue
			}
			if records = append(records, record); len(records) == size {
				return records, pageToken(after), nil
			}
		}
		if len(found) < auditBatch {
			return records, "", nil
		}
		scanned += len(found)
	}
	return records, pageToken(after), nil
}

func mayAudit(i *Identity, namespace string) bool {
	if namespace == everywhere {
		return i.May(Administer, everywhere)
	}
	return i.May(View, namespace)
}

// decodeAudit reads a stored record. One that cannot be read is left out, and said so in the log.
func (m *Manager) decodeAudit(stored state.Record) (*gantryv1.AuditRecord, bool) {
	record := &gantryv1.AuditRecord{}
	if err := proto.Unmarshal(stored.Value, record); err != nil {
		m.log.Error("an audit record cannot be read", "key", stored.Key, "error", err)
		return nil, false
	}
	return record, true
}

func passes(record *gantryv1.AuditRecord, request *gantryv1.ListAuditRequest) bool {
	same := func(want, is string) bool { return want == "" || want == is }
	return same(request.GetNamespace(), record.GetNamespace()) && same(request.GetActor(), record.GetActor()) &&
		same(request.GetTarget(), record.GetTarget()) && strings.HasPrefix(record.GetAction(), request.GetAction())
}

// auditRange turns a request into keys to read between, both excluded.
func auditRange(request *gantryv1.ListAuditRequest) (after, before string, size int, err error) {
	size = int(request.GetPageSize())
	if size == 0 {
		size = defaultAuditPage
	}
	if size > maxAuditPage {
		return "", "", 0, fault.New(fault.Invalid, "access.bad_page_size", "a page of %d records", size).At("page_size").
			Hinted("at most %d; page_token leads on", maxAuditPage)
	}
	since, until, err := auditPeriod(request.GetSince(), request.GetUntil())
	if err != nil {
		return "", "", 0, err
	}
	if !until.IsZero() {
		after = auditKeyAt(until)
	}
	if !since.IsZero() {
		// Records of exactly that time have random bits behind it and so lie before this key.
		before = auditKeyAt(since)
	}
	if token := request.GetPageToken(); token != "" {
		from, err := parsePageToken(token)
		if err != nil {
			return "", "", 0, err
		}
		after = max(after, from)
	}
	return after, before, size, nil
}

func auditPeriod(since, until *timestamppb.Timestamp) (from, to time.Time, err error) {
	for _, bound := range [...]struct {
		field string
		value *timestamppb.Timestamp
		into  *time.Time
	}{{"since", since, &from}, {"until", until, &to}} {
		if bound.value == nil {
			continue
		}
		if err := bound.value.CheckValid(); err != nil {
			return from, to, fault.New(fault.Invalid, "access.bad_period", "not a time").At(bound.field).
				Hinted("use RFC 3339, such as 2026-01-31T08:00:00Z").Because(err)
		}
		*bound.into = bound.value.AsTime()
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, fault.New(fault.Invalid, "access.bad_period", "since %s is not before until %s",
			from.Format(time.RFC3339), to.Format(time.RFC3339)).At("since").Hinted("exchange them")
	}
	return from, to, nil
}

// A page token is what the last read key has behind its prefix; it gives away nothing and allows nothing.
func pageToken(key string) string { return lastPart(key) }

// parsePageToken takes exactly what pageToken gives: the 32 lower-case hex digits of an inverted id.
func parsePageToken(token string) (key string, err error) {
	bytes, err := hex.DecodeString(token)
	if err != nil || len(bytes) != len(uuid.UUID{}) || hex.EncodeToString(bytes) != token {
		return "", fault.New(fault.Invalid, "access.bad_page_token", "%s is not a page token", quoted(token)).At("page_token").
			Hinted("send next_page_token of the page before, or nothing for the first page")
	}
	return state.Key(auditRoom, token), nil
}
