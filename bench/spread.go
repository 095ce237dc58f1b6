package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/bench/internal/load"
	"github.com/gantry-platform/gantry/bench/internal/process"
	"github.com/gantry-platform/gantry/bench/internal/stats"
	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// spreadReceivers are the subscribers, or sessions, that a change must reach.
	spreadReceivers = 1000
	// spreadRounds are the changes of one run, and spreadPause the quiet before each, so that each is measured by itself.
	spreadRounds = 20
	spreadPause  = 200 * time.Millisecond
	// roundTimeout bounds one round.
	roundTimeout = 10 * time.Second
)

// rounds takes the times at which one change after another reaches its receivers.
type rounds struct {
	mu      sync.Mutex
	current int
	began   time.Time
	seen    []int // the newest round of each receiver
	missing int
	done    chan struct{}
	times   []time.Duration
}

func newRounds(receivers int) *rounds { return &rounds{seen: make([]int, receivers)} }

// begin starts the clock of the next round.
func (r *rounds) begin() (round int, done <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current++
	r.missing, r.done = len(r.seen), make(chan struct{})
	r.began = time.Now()
	return r.current, r.done
}

// arrived notes that a round's change has reached a receiver.
func (r *rounds) arrived(receiver, round int) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if round != r.current || r.seen[receiver] == round {
		return
	}
	r.seen[receiver] = round
	r.times = append(r.times, now.Sub(r.began))
	if r.missing--; r.missing == 0 {
		close(r.done)
	}
}

func (r *rounds) wait(ctx context.Context, done <-chan struct{}) error {
	timer := time.NewTimer(roundTimeout)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		r.mu.Lock()
		defer r.mu.Unlock()
		return fmt.Errorf("after %v, %d of %d receivers had not seen a change", roundTimeout, r.missing, len(r.seen))
	}
}

// result is the time that 99 of 100 pairs of a change and a receiver stay within, in ms.
func (r *rounds) result(o *outcome, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ms := func(q float64) float64 { return float64(stats.Quantile(r.times, q).Microseconds()) / 1000 }
	o.set(name, ms(0.99), fmt.Sprintf("median %.1f ms, slowest %.1f ms of %d", ms(0.5), ms(1), len(r.times)))
}

// spread makes changes, one a round, and waits for each to reach everyone.
func (l *lab) spread(ctx context.Context, name string, server *process.Server, change func(round int) error, all ...*rounds) error {
	profiled, err := l.profile(ctx, name, server)
	if err != nil {
		return err
	}
	err = func() error {
		for range spreadRounds {
			if err := sleep(ctx, spreadPause); err != nil {
				return err
			}
			var round int
			waits := make([]<-chan struct{}, len(all))
			for i, r := range all {
				round, waits[i] = r.begin()
			}
			if err := change(round); err != nil {
				return err
			}
			for i, r := range all {
				if err := r.wait(ctx, waits[i]); err != nil {
					return err
				}
			}
		}
		return nil
	}()
	return errors.Join(err, profiled())
}

func changeScenario() scenario {
	return scenario{rows: []row{{name: "change-subscribers", what: "a change seen by 1,000 subscribers, p99", unit: "ms", target: 100, atMost: true}},
		timeout: 90 * time.Second, measure: changeSeen}
}

// changeSeen changes the metadata of one of ten instances through a session, with a thousand sessions subscribed to the service.
func changeSeen(ctx context.Context, l *lab) (outcome, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	server, err := l.start(ctx)
	if err != nil {
		return outcome{}, err
	}
	registrar, err := openRegistrars(ctx, server, 1, 1, fail)
	if err != nil {
		return outcome{}, err
	}
	defer load.CloseSessions(registrar.sessions)
	const instances, key = 10, "round"
	send := func(n, round int) error {
		r := newRegistration(n * fleetServices)
		r.Instance.Metadata[key] = strconv.Itoa(round)
		registrar.rooms[0] <- struct{}{} // the answer to the one before has come
		return registrar.sessions[0].Send(&gantryv1.ClientMessage{RequestId: uint64(round*instances + n + 1), Message: &gantryv1.ClientMessage_Register{
			Register: &gantryv1.Register{Registrations: []*gantryv1.RegisterRequest{r}}}})
	}
	for n := range instances {
		if err := send(n, 0); err != nil {
			return outcome{}, err
		}
	}
	seen := newRounds(spreadReceivers)
	var ready sync.WaitGroup
	ready.Add(spreadReceivers)
	subscribers, err := load.OpenSessions(ctx, spreadReceivers, func(i int) load.SessionOptions {
		first := sync.OnceFunc(ready.Done)
		return load.SessionOptions{Address: server.GRPC, Token: server.Token, Subject: &gantryv1.Subject{InstanceId: fmt.Sprintf("subscriber-%d", i)},
			Receive: func(s *load.Session, message *gantryv1.ServerMessage) {
				event := message.GetServiceEvent()
				if event == nil {
					return
				}
				first()
				for _, changed := range event.Instances {
					if round, err := strconv.Atoi(changed.Metadata[key]); err == nil && round > 0 {
						seen.arrived(i, round)
					}
				}
				if err := s.Send(&gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_Acknowledge{
					Acknowledge: &gantryv1.Acknowledge{Service: event.Service, Revision: event.Revision}}}); err != nil {
					fail(err)
				}
			}}
	})
	if err != nil {
		return outcome{}, err
	}
	defer load.CloseSessions(subscribers)
	for _, s := range subscribers {
		if err := s.Send(&gantryv1.ClientMessage{RequestId: 1, Message: &gantryv1.ClientMessage_Subscribe{Subscribe: &gantryv1.Subscribe{
			Subscriptions: []*gantryv1.Subscription{{Service: &gantryv1.ServiceRef{Service: serviceName(0)}}}}}}); err != nil {
			return outcome{}, err
		}
	}
	if err := await(ctx, &ready); err != nil {
		return outcome{}, err
	}
	if err := l.spread(ctx, "change-subscribers", server, func(round int) error { return send(0, round) }, seen); err != nil {
		return outcome{}, err
	}
	var o outcome
	seen.result(&o, "change-subscribers")
	return o, nil
}

// await waits for a group, unless ctx ends.
func await(ctx context.Context, group *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

const benchDocument = "bench-limits"

// roundPrefix begins a document's content; the round's number and a line's end follow.
const roundPrefix = "round: "

// documentOf is a configuration of about 1 KiB.
func documentOf(round int) []byte {
	content := []byte(roundPrefix + strconv.Itoa(round) + "\nmax-amount: 50000\ntimeout: 2s\n")
	for n := 0; len(content) < 1000; n++ {
		content = fmt.Appendf(content, "# limit %02d was agreed with the lender's risk desk\n", n)
	}
	return content
}

func roundOf(content []byte) int {
	rest, found := bytes.CutPrefix(content, []byte(roundPrefix))
	if !found {
		return 0
	}
	number, _, _ := bytes.Cut(rest, []byte("\n"))
	round, err := strconv.Atoi(string(number))
	if err != nil {
		return 0
	}
	return round
}

// publish releases the document of a round to everyone.
func publish(ctx context.Context, server *process.Server, round int) (int64, error) {
	answer, err := server.Releases().Publish(ctx, &gantryv1.PublishRequest{Ref: &gantryv1.DocumentRef{Kind: gantry.KindConfig, Name: benchDocument},
		Format: "yaml", Content: documentOf(round), Release: true, Message: "round " + strconv.Itoa(round)})
	if err != nil {
		return 0, fmt.Errorf("publish: %w", err)
	}
	return answer.Version, nil
}

func releaseScenario() scenario {
	return scenario{rows: []row{
		{name: "release-sessions", what: "a release in the hands of 1,000 sessions, p99", unit: "ms", target: 200, atMost: true},
		{name: "release-reported", what: "the same until the server has their reports, p99", unit: "ms"},
	}, timeout: 90 * time.Second, measure: releaseApplied}
}

// follower is a session that applies a document: it checks the content and reports the version, and sees its report answered.
type follower struct {
	number         int
	seen, reported *rounds
	ready          func()
	fail           context.CancelCauseFunc
	reporting      int // the round of the report under way
}

func (f *follower) receive(s *load.Session, message *gantryv1.ServerMessage) {
	if reply := message.GetReply(); reply != nil {
		if err := load.FailureOf(reply); err != nil {
			f.fail(err)
		} else if reply.RequestId > 1 { // 1 is the watch
			f.reported.arrived(f.number, f.reporting)
		}
		return
	}
	event := message.GetDocumentEvent()
	if event == nil {
		return
	}
	f.ready()
	sum := sha256.Sum256(event.GetVersion().GetContent())
	round := roundOf(event.GetVersion().GetContent())
	if round == 0 {
		return // what was released before the first round
	}
	if hex.EncodeToString(sum[:]) != event.Version.Checksum {
		f.fail(errors.New("the content of a release does not have its checksum"))
		return
	}
	f.seen.arrived(f.number, round)
	f.reporting = round
	report := &gantryv1.AppliedReport{Ref: event.Ref, Version: event.Version.Version, Checksum: event.Version.Checksum, AppliedAt: timestamppb.Now()}
	if err := s.Send(&gantryv1.ClientMessage{RequestId: uint64(1 + round), Message: &gantryv1.ClientMessage_Applied{
		Applied: &gantryv1.Applied{Reports: []*gantryv1.AppliedReport{report}}}}); err != nil {
		f.fail(err)
	}
}

func releaseApplied(ctx context.Context, l *lab) (outcome, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	server, err := l.start(ctx)
	if err != nil {
		return outcome{}, err
	}
	if _, err := publish(ctx, server, 0); err != nil {
		return outcome{}, err
	}
	seen, reported := newRounds(spreadReceivers), newRounds(spreadReceivers)
	var ready sync.WaitGroup
	ready.Add(spreadReceivers)
	sessions, err := load.OpenSessions(ctx, spreadReceivers, func(i int) load.SessionOptions {
		f := &follower{number: i, seen: seen, reported: reported, ready: sync.OnceFunc(ready.Done), fail: fail}
		subject := &gantryv1.Subject{InstanceId: fmt.Sprintf("follower-%d", i), Service: &gantryv1.ServiceRef{Service: "follower"}}
		return load.SessionOptions{Address: server.GRPC, Token: server.Token, Subject: subject, Receive: f.receive}
	})
	if err != nil {
		return outcome{}, err
	}
	defer load.CloseSessions(sessions)
	ref := &gantryv1.DocumentRef{Kind: gantry.KindConfig, Name: benchDocument}
	for _, s := range sessions {
		if err := s.Send(&gantryv1.ClientMessage{RequestId: 1, Message: &gantryv1.ClientMessage_WatchDocuments{
			WatchDocuments: &gantryv1.WatchDocuments{Refs: []*gantryv1.DocumentRef{ref}}}}); err != nil {
			return outcome{}, err
		}
	}
	if err := await(ctx, &ready); err != nil {
		return outcome{}, err
	}
	var version int64
	err = l.spread(ctx, "release-sessions", server, func(round int) error {
		version, err = publish(ctx, server, round)
		return err
	}, seen, reported)
	if err != nil {
		return outcome{}, err
	}
	if err := allApplied(ctx, server, ref, version); err != nil {
		return outcome{}, err
	}
	var o outcome
	seen.result(&o, "release-sessions")
	reported.result(&o, "release-reported")
	return o, nil
}

// allApplied checks that the server knows of every session that it runs a version.
func allApplied(ctx context.Context, server *process.Server, ref *gantryv1.DocumentRef, version int64) error {
	answer, err := server.Releases().Applied(ctx, &gantryv1.AppliedRequest{Ref: ref})
	if err != nil {
		return err
	}
	have := 0
	for _, report := range answer.Reports {
		if report.Version == version && report.Error == "" {
			have++
		}
	}
	if have != spreadReceivers {
		return fmt.Errorf("of %d sessions, the server knows of %d that they run version %d", spreadReceivers, have, version)
	}
	return nil
}

func releaseSDKScenario() scenario {
	return scenario{rows: []row{{name: "release-sdk", what: "a release in force in 1,000 SDK bindings, p99", unit: "ms"}},
		timeout: 90 * time.Second, measure: releaseBound}
}

// benchLimits is what the document is bound to.
type benchLimits struct {
	Round     int           `gantry:"round"`
	MaxAmount int           `gantry:"max-amount"`
	Timeout   time.Duration `gantry:"timeout"`
}

// connect makes a client of the SDK as a service does, without the local snapshot.
func connect(ctx context.Context, server *process.Server, n int) (*gantry.Client, error) {
	return gantry.Connect(ctx, gantry.WithAddresses(server.GRPC), gantry.WithToken(server.Token), gantry.WithPlaintext(), gantry.WithWait(),
		gantry.WithIdentity(gantry.Identity{Service: "follower", InstanceID: fmt.Sprintf("sdk-%d", n), Address: "10.0.0.1"}),
		gantry.WithSnapshotFolder(""), gantry.WithLogger(slog.New(slog.DiscardHandler)))
}

// releaseBound is releaseApplied with whole SDK clients: parsed, bound to a struct, and seen by OnChange.
func releaseBound(ctx context.Context, l *lab) (outcome, error) {
	server, err := l.start(ctx)
	if err != nil {
		return outcome{}, err
	}
	if _, err := publish(ctx, server, 0); err != nil {
		return outcome{}, err
	}
	seen := newRounds(spreadReceivers)
	clients, errs := make([]*gantry.Client, spreadReceivers), make([]error, spreadReceivers)
	defer load.InParallel(spreadReceivers, 32, func(i int) {
		if clients[i] != nil {
			clients[i].Close()
		}
	})
	load.InParallel(spreadReceivers, 32, func(i int) {
		if clients[i], errs[i] = connect(ctx, server, i); errs[i] != nil {
			return
		}
		var binding *gantry.Binding[benchLimits]
		if binding, errs[i] = gantry.Bind(clients[i], benchDocument, benchLimits{}); errs[i] == nil {
			binding.OnChange(func(_, now benchLimits) { seen.arrived(i, now.Round) })
		}
	})
	if err := errors.Join(errs...); err != nil {
		return outcome{}, err
	}
	if err := l.spread(ctx, "release-sdk", server, func(round int) error {
		_, err := publish(ctx, server, round)
		return err
	}, seen); err != nil {
		return outcome{}, err
	}
	var o outcome
	seen.result(&o, "release-sdk")
	return o, nil
}
