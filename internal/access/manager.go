package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// Options make a [Manager].
type Options struct {
	// Store holds everything. Required; not yet started.
	Store *state.Store
	// Logger defaults to silence.
	Logger *slog.Logger
	// Registerer takes the metrics. Required.
	Registerer prometheus.Registerer
	// Now is the wall clock, by which tokens expire. Default [time.Now].
	Now func() time.Time
	// Disabled turns authentication off: everybody may everything. Servers that do so listen on loopback alone.
	Disabled bool
	// AuditAge is how long audit records are kept. Default 90 days, a quarter, as for documents' history.
	AuditAge time.Duration
	// AuditRecords is how many audit records are kept at most. Default 200,000: some 100 MB of the state.
	AuditRecords int
}

const (
	defaultAuditAge     = 90 * 24 * time.Hour
	defaultAuditRecords = 200_000
)

// Manager keeps users, tokens, logins and the audit log. It is safe for concurrent use.
type Manager struct {
	store     *state.Store
	log       *slog.Logger
	now       func() time.Time
	disabled  bool
	directory *directory
	verifier  *verifier
	metrics   *metrics

	auditAge     time.Duration
	auditRecords int
	upkeep       sync.Mutex
	counted      time.Time // when the audit records were last counted; under upkeep
}

// New returns a manager that mirrors the store's users and tokens. Call it before the store is started.
func New(options Options) (*Manager, error) {
	if options.Store == nil || options.Registerer == nil {
		return nil, errors.New("access: a store and a registerer are required")
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.AuditAge <= 0 {
		options.AuditAge = defaultAuditAge
	}
	if options.AuditRecords <= 0 {
		options.AuditRecords = defaultAuditRecords
	}
	directory := newDirectory(options.Logger)
	metrics, err := newMetrics(options.Registerer, directory)
	if err != nil {
		return nil, err
	}
	options.Store.Mirror(state.Prefix(userRoom), userMirror{directory})
	options.Store.Mirror(state.Prefix(tokenRoom), tokenMirror{directory})
	return &Manager{
		store: options.Store, log: options.Logger, now: options.Now, disabled: options.Disabled,
		directory: directory, verifier: newVerifier(directory, options), metrics: metrics,
		auditAge: options.AuditAge, auditRecords: options.AuditRecords,
	}, nil
}

// Disabled reports whether authentication is off.
func (m *Manager) Disabled() bool { return m.disabled }

// Authenticate returns who a credential stands for. An empty one is the anonymous identity, which may nothing; with
// authentication off everything is the anonymous identity, which may everything. It reads memory alone and goes on
// without quorum.
//
// Errors are *fault.Error: Unauthenticated with reason "access.bad_token", "access.token_expired" or
// "access.bad_credentials"; Exhausted with "access.throttled" or "access.busy".
func (m *Manager) Authenticate(ctx context.Context, credential Credential) (*Identity, error) {
	source := cut(credential.Source, maxSource)
	switch {
	case m.disabled:
		return &Identity{Actor: "anonymous", Source: source, fixed: everything}, nil
	case credential.Token != "":
		identity, err := m.byToken(credential.Token, source)
		m.metrics.token.count(err)
		return identity, err
	case credential.User != "" || credential.Password != "":
		u, err := m.verifier.verify(ctx, credential.User, credential.Password, source)
		m.metrics.password.count(err)
		if err != nil {
			return nil, err
		}
		return &Identity{Actor: "user:" + u.Name, Source: source, subject: u.subject, user: u.Name}, nil
	default:
		return &Identity{Actor: "anonymous", Source: source}, nil
	}
}

func (m *Manager) byToken(text, source string) (*Identity, error) {
	id, secret, ok := parseToken(text)
	if !ok {
		return nil, errBadToken()
	}
	t, u := m.directory.token(id)
	hash := hashSecret(secret)
	if t == nil || !sameHash(&hash, &t.hash) {
		return nil, errBadToken()
	}
	if t.expired(m.now()) {
		return nil, fault.New(fault.Unauthenticated, "access.token_expired", "the token %s expired at %s", t.ID,
			t.Expires.UTC().Format(time.RFC3339)).Hinted("log in again, or ask an administrator for a new token")
	}
	identity := &Identity{Source: source, subject: t.subject, ended: t.ended}
	if t.User == "" {
		identity.Actor = t.actor
		return identity, nil
	}
	if u == nil || u.Session != t.Session || u.Disabled {
		return nil, errBadToken()
	}
	identity.Actor, identity.subject, identity.user, identity.login = t.actor, u.subject, u.Name, t.ID
	return identity, nil
}

func errBadToken() error {
	return fault.New(fault.Unauthenticated, "access.bad_token", "the token is unknown or revoked").
		Hinted("log in again, or ask an administrator for a new token")
}

// maxAttempts bounds how often a change is tried again because somebody else changed the same record.
const maxAttempts = 8

// commit makes a change that depends on what it reads, and returns when this node's mirror has it.
func (m *Manager) commit(ctx context.Context, prepare func() (state.Change, error)) error {
	for range maxAttempts {
		change, err := prepare()
		if err != nil {
			return err
		}
		revision, err := m.store.Commit(ctx, change)
		if errors.Is(err, state.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		m.await(ctx, revision)
		return nil
	}
	return fault.New(fault.Conflict, "access.conflict", "others changed the same %d times meanwhile", maxAttempts).
		Hinted("look at it again and repeat")
}

// await lets this node read what it wrote. The change is durable already: that the caller does not wait for the
// mirror does not make it fail.
func (m *Manager) await(ctx context.Context, revision int64) {
	if err := m.store.Await(ctx, revision); err != nil {
		m.log.Debug("a change of access is durable but not mirrored yet", "revision", revision, "error", err)
	}
}

// readUser reads a user's newest record. When it is there but cannot be read, the record comes with the error.
func (m *Manager) readUser(ctx context.Context, name string) (userRecord, state.Record, error) {
	record, found, err := m.store.Get(ctx, userKey(name))
	if err != nil {
		return userRecord{}, record, err
	}
	if !found {
		return userRecord{}, record, fault.New(fault.NotFound, "access.no_such_user", "there is no user %s", quoted(name)).At("name").
			Hinted("`gantry user list` shows them")
	}
	u, _, err := decodeUser(record.Key, record.Value)
	return u, record, err
}

// metrics of the room.
type metrics struct {
	token, password results
	sweptTokens     prometheus.Counter
	trimmedAudit    prometheus.Counter
}

// results counts how authentications by one method went.
type results struct{ ok, refused, throttled, failed prometheus.Counter }

func (r *results) count(err error) {
	switch {
	case err == nil:
		r.ok.Inc()
	case fault.Is(err, fault.Unauthenticated):
		r.refused.Inc()
	case fault.Is(err, fault.Exhausted):
		r.throttled.Inc()
	default:
		r.failed.Inc()
	}
}

func newMetrics(registerer prometheus.Registerer, directory *directory) (*metrics, error) {
	authentications := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gantry_access_authentications_total", Help: "Authentications by method and result.",
	}, []string{"method", "result"})
	by := func(method string) results {
		with := func(result string) prometheus.Counter { return authentications.WithLabelValues(method, result) }
		return results{ok: with("ok"), refused: with("refused"), throttled: with("throttled"), failed: with("failed")}
	}
	m := &metrics{
		token: by("token"), password: by("password"),
		sweptTokens: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gantry_access_tokens_swept_total", Help: "Expired tokens and ended logins that this node removed.",
		}),
		trimmedAudit: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gantry_audit_records_trimmed_total", Help: "Audit records beyond their retention that this node removed.",
		}),
	}
	users := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gantry_access_users", Help: "Users."}, func() float64 {
		n, _ := directory.counts()
		return float64(n)
	})
	tokens := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gantry_access_tokens", Help: "Tokens, logins included."}, func() float64 {
		_, n := directory.counts()
		return float64(n)
	})
	for _, collector := range []prometheus.Collector{authentications, m.sweptTokens, m.trimmedAudit, users, tokens} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("access: %w", err)
		}
	}
	return m, nil
}
