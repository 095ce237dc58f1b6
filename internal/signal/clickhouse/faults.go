package clickhouse

import (
	"context"
	"errors"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Numbers of ClickHouse's errors.
const (
	codeUnknownTable    = 60
	codeUnknownDatabase = 81
	codeTimeout         = 159
	codeTooSlow         = 160
	codeNoMemory        = 241
	codeTooManyParts    = 252
	codeTooManyQueries  = 202
	codeQuota           = 201
	codeUnknownUser     = 192
	codeWrongPassword   = 193
	codeNeedsPassword   = 194
	codeDenied          = 497
	codeAuthentication  = 516
	codeReadOnly        = 164
	codeTooManyRows     = 158
	codeTooManyBytes    = 307
	codeRowsOrBytes     = 396
)

var (
	errQuestionTooLarge = fault.New(fault.TooLarge, "traces.question", "the values of this search are more than %d KiB", maxParameters>>10).At("attributes").Hinted("search for shorter texts")
	errClosed           = fault.New(fault.Unavailable, "traces.closing", "the trace store is closing").Hinted("send to another node")
	errTooLarge         = fault.New(fault.TooLarge, "traces.too_large_answer", "the answer is more than %d MiB", maxAnswer>>20).Hinted("narrow the time, or ask for fewer traces")
)

// passing tells whether the same insert may work in a moment. Whatever answers in ClickHouse's place, such as a proxy, may go away.
func passing(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return true // no answer: it may have been taken or not
	}
	switch r.code {
	case codeUnknownUser, codeWrongPassword, codeNeedsPassword, codeAuthentication, codeDenied, codeUnknownDatabase, codeReadOnly, codeQuota:
		return false
	case 0:
		return r.status >= 500 || r.status == 429
	}
	return true
}

// outOfTime tells that a question took longer than it may.
func outOfTime(err error) bool {
	var r *refusal
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &r) && (r.code == codeTimeout || r.code == codeTooSlow)
}

// faultOf makes what a user sees of an error; ClickHouse's words stay its cause, for the log.
func faultOf(err error) error {
	if _, ok := fault.As(err); ok || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, errAnswerTooLarge) {
		return errTooLarge.Because(err)
	}
	if outOfTime(err) {
		return fault.New(fault.DeadlineExceeded, "traces.slow", "ClickHouse did not answer in time").Hinted("narrow the time or the service, or try again").Because(err)
	}
	if errors.Is(err, errTorn) {
		return fault.New(fault.Unavailable, "traces.clickhouse_answer", "the answer of ClickHouse cannot be read").Hinted("see whether the tables are as this server made them; the server's log has the details").Because(err)
	}
	var r *refusal
	if !errors.As(err, &r) {
		return fault.New(fault.Unavailable, "traces.clickhouse_away", "ClickHouse cannot be reached").Hinted("try again in some seconds; the server's log has the details").Because(err)
	}
	switch r.code {
	case codeNoMemory, codeTooManyParts, codeTooManyQueries, codeQuota:
		return fault.New(fault.Exhausted, "traces.clickhouse_busy", "ClickHouse takes no more at the moment").Hinted("try again in some seconds; the server's log has the details").Because(err)
	case codeTooManyRows, codeTooManyBytes, codeRowsOrBytes:
		return fault.New(fault.TooLarge, "traces.clickhouse_limit", "the question is over a limit of ClickHouse's user").Hinted("narrow the time or the service").Because(err)
	case codeUnknownUser, codeWrongPassword, codeNeedsPassword, codeAuthentication:
		return fault.New(fault.Unavailable, "traces.clickhouse_login", "ClickHouse does not let this server in").Hinted("check --clickhouse-user and its password").Because(err)
	case codeDenied, codeReadOnly:
		return fault.New(fault.Unavailable, "traces.clickhouse_rights", "this server's user at ClickHouse lacks a right").Hinted("see the grants in docs/signals/clickhouse.md").Because(err)
	case codeUnknownDatabase:
		return fault.New(fault.Unavailable, "traces.clickhouse_database", "ClickHouse has no such database").Hinted("make the database that --clickhouse-url names").Because(err)
	case codeUnknownTable:
		return fault.New(fault.Unavailable, "traces.clickhouse_tables", "ClickHouse lacks the tables of traces").Hinted("they are made again in some seconds; the server's log has the details").Because(err)
	}
	return fault.New(fault.Unavailable, "traces.clickhouse", "ClickHouse refuses").Hinted("the server's log has the details").Because(err)
}
