package clickhouse

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// connectTime bounds a connection and the beginning of an answer is bounded by the request's own time.
	connectTime = 5 * time.Second
	// maxAnswer bounds what one query answers: some 100,000 spans.
	maxAnswer = 128 << 20
	// maxParameters bounds the values of a question, under ClickHouse's limit of 1 MiB for a URL.
	maxParameters = 256 << 10
	readers       = 16
)

// client speaks ClickHouse's HTTP interface.
type client struct {
	address        *url.URL
	database       string
	user, password string
	// Reads have connections of their own, so that slow questions never keep spans out.
	reads, writes *http.Client
}

func newClient(o Options) (*client, error) {
	address, database, err := CheckURL(o.URL)
	if err != nil {
		return nil, err
	}
	return &client{address: address, database: database, user: o.User, password: o.Password, reads: newHTTP(o.TLS, readers), writes: newHTTP(o.TLS, o.Inserts+1)}, nil
}

func newHTTP(config *tls.Config, connections int) *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, TLSHandshakeTimeout: connectTime, MaxConnsPerHost: connections,
		MaxIdleConnsPerHost: connections, IdleConnTimeout: 30 * time.Second}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the password goes nowhere else
	}}
}

func (c *client) close() {
	c.reads.CloseIdleConnections()
	c.writes.CloseIdleConnections()
}

// refusal is an answer that is no success.
type refusal struct {
	status int
	// code is ClickHouse's number of the error, 0 when something else answered.
	code int
	text string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("ClickHouse answers %d, code %d: %s", r.status, r.code, r.text)
}

var errAnswerTooLarge = errors.New("clickhouse: the answer is too large")

// query asks, and returns the whole answer. The server holds the answer back until it is complete: an error in the middle is an error of all.
func (c *client) query(ctx context.Context, s *statement, settings map[string]string) ([]byte, error) {
	size := 0
	for name := range s.params {
		size += len(s.params.Get(name))
	}
	if size > maxParameters {
		return nil, errQuestionTooLarge
	}
	values := url.Values{"wait_end_of_query": {"1"}, "enable_http_compression": {"1"}}
	for name, value := range settings {
		values.Set(name, value)
	}
	for name := range s.params {
		values.Set(name, s.params.Get(name))
	}
	return c.do(ctx, c.reads, values, strings.NewReader(s.sql.String()), "")
}

// execute runs a statement that changes tables. It has no values.
func (c *client) execute(ctx context.Context, sql string) error {
	_, err := c.do(ctx, c.writes, url.Values{"wait_end_of_query": {"1"}}, strings.NewReader(sql), "")
	return err
}

// insert sends rows that were compressed by zstd.
func (c *client) insert(ctx context.Context, sql, token string, rows []byte) error {
	values := url.Values{"query": {sql}, "wait_end_of_query": {"1"}, "async_insert": {"0"}, "insert_deduplicate": {"1"}, "insert_deduplication_token": {token},
		"deduplicate_blocks_in_dependent_materialized_views": {"1"}}
	_, err := c.do(ctx, c.writes, values, bytes.NewReader(rows), "zstd")
	return err
}

func (c *client) do(ctx context.Context, by *http.Client, values url.Values, body io.Reader, encoding string) ([]byte, error) {
	values.Set("database", c.database)
	target := *c.address
	target.RawQuery = values.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	if c.user != "" {
		r.Header.Set("X-ClickHouse-User", c.user)
	}
	if c.password != "" {
		r.Header.Set("X-ClickHouse-Key", c.password)
	}
	response, err := by.Do(r)
	if err != nil {
		// The error of net/http has the whole URL, with the values of the question.
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 2048)) // what there is of it
		code, _ := strconv.Atoi(response.Header.Get("X-ClickHouse-Exception-Code"))
		return nil, &refusal{status: response.StatusCode, code: code, text: strings.TrimSpace(string(text))}
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = errAnswerTooLarge
	}
	return answer, err
}
