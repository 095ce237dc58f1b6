package gantry_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

// scripted serves sessions by a function that answers each message after the hello but pings, under a lock.
func scripted(mu *sync.Mutex, answer func(message *gantryv1.ClientMessage, send func(*gantryv1.ServerMessage))) testserver.Handler {
	return func(stream gantryv1.SessionService_OpenServer) error {
		if _, err := stream.Recv(); err != nil {
			return err
		}
		welcome := &gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Welcome{Welcome: &gantryv1.Welcome{NodeId: "scripted"}}}
		if err := stream.Send(welcome); err != nil {
			return err
		}
		for {
			message, err := stream.Recv()
			if err != nil {
				return nil
			}
			if message.GetPing() != nil {
				if err := stream.Send(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Pong{}}); err != nil {
					return err
				}
				continue
			}
			mu.Lock()
			answer(message, func(m *gantryv1.ServerMessage) { _ = stream.Send(m) })
			mu.Unlock()
		}
	}
}

// reply answers a message, with ids for its registrations, or with a failure.
func reply(to *gantryv1.ClientMessage, failure *gantryv1.Failure) *gantryv1.ServerMessage {
	r := &gantryv1.Reply{RequestId: to.GetRequestId(), Failure: failure}
	if failure == nil {
		for _, request := range to.GetRegister().GetRegistrations() {
			r.Registered = append(r.Registered, &gantryv1.RegisterResponse{Id: request.GetInstance().GetId() + "given"})
		}
	}
	return &gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Reply{Reply: r}}
}

func TestTransientRefusalsAreTriedAgainSoon(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		var mu sync.Mutex
		failures := map[string]int{}
		nodes[0].Misbehave(scripted(&mu, func(message *gantryv1.ClientMessage, send func(*gantryv1.ServerMessage)) {
			kind := ""
			switch {
			case message.GetRegister() != nil:
				kind = "register"
			case message.GetSubscribe() != nil:
				kind = "subscribe"
			case message.GetWatchDocuments() != nil:
				kind = "watch"
			default:
				return
			}
			var failure *gantryv1.Failure
			if failures[kind]++; failures[kind] <= 3 {
				failure = &gantryv1.Failure{Code: uint32(codes.Unavailable), Message: "no quorum"}
			}
			send(reply(message, failure))
		}))
		client := w.connect()
		_, err := client.Subscribe("fund")
		w.must(err)
		_, err = client.Document(gantry.KindConfig, "limits")
		w.must(err)
		start := time.Now()
		registration, err := client.Register(w.Context(), gantry.Instance{Port: 8080})
		w.must(err)
		<-registration.Registered()
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if took := time.Since(start); took > 20*time.Second || failures["register"] != 4 || failures["subscribe"] != 4 || failures["watch"] != 4 {
			w.Errorf("after %s it was asked %v, want each asked until it was answered", took, failures)
		}
	})
}

// An instance whose registration is taken back before the server has answered is taken back there too.
func TestRegistrationTakenBackBeforeItsAnswer(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		var mu sync.Mutex
		var gone []string
		proceed := make(chan struct{})
		nodes[0].Misbehave(scripted(&mu, func(message *gantryv1.ClientMessage, send func(*gantryv1.ServerMessage)) {
			if message.GetRegister() != nil {
				<-proceed
			}
			for _, request := range message.GetDeregister().GetRegistrations() {
				gone = append(gone, request.GetId())
			}
			if message.GetRequestId() > 0 {
				send(reply(message, nil))
			}
		}))
		client := w.connect(gantry.WithWait())
		registration, err := client.Register(w.Context(), gantry.Instance{Service: "other", Port: 8080}, gantry.WithoutWaiting())
		w.must(err)
		synctest.Wait()
		w.must(registration.Deregister(w.Context()))
		close(proceed)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(gone, []string{"given"}) {
			w.Errorf("deregistered %q, want the id that the late answer gave", gone)
		}
	})
}

// Replies that were ready together come in one message.
func TestRepliesThatComeTogether(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		var mu sync.Mutex
		var held []*gantryv1.Reply
		nodes[0].Misbehave(scripted(&mu, func(message *gantryv1.ClientMessage, send func(*gantryv1.ServerMessage)) {
			if message.GetRegister() == nil {
				if message.GetRequestId() > 0 {
					send(reply(message, nil))
				}
				return
			}
			if held = append(held, reply(message, nil).GetReply()); len(held) == 2 {
				send(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Replies{Replies: &gantryv1.Replies{Replies: held}}})
			}
		}))
		client := w.connect(gantry.WithWait())
		var registrations []*gantry.Registration
		for _, service := range []string{"one", "two"} {
			registration, err := client.Register(w.Context(), gantry.Instance{Service: service, Port: 8080}, gantry.WithoutWaiting())
			w.must(err)
			registrations = append(registrations, registration)
			synctest.Wait()
		}
		for _, registration := range registrations {
			if !registration.State().Registered {
				w.Error("a registration that was answered in company is not registered")
			}
		}
	})
}

func TestTooFewAnswersAreNonsense(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		var mu sync.Mutex
		nodes[0].Misbehave(scripted(&mu, func(message *gantryv1.ClientMessage, send func(*gantryv1.ServerMessage)) {
			send(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Reply{Reply: &gantryv1.Reply{RequestId: message.GetRequestId()}}})
		}))
		client := w.connect(gantry.WithWait())
		registration, err := client.Register(w.Context(), gantry.Instance{Port: 8080})
		w.must(err)
		if registration.State().Registered {
			w.Error("registered without an answer")
		}
		nodes[0].Misbehave(nil)
		<-registration.Registered()
	})
}

// A change that does not fit what is held makes the client ask for the whole, and leaves what it has.
func TestChangeThatDoesNotFit(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		var mu sync.Mutex
		var asked []int64
		nodes[0].Misbehave(scripted(&mu, func(message *gantryv1.ClientMessage, send func(*gantryv1.ServerMessage)) {
			for _, subscription := range message.GetSubscribe().GetSubscriptions() {
				asked = append(asked, subscription.GetRevision())
				event := &gantryv1.ServiceEvent{Service: subscription.GetService(), Revision: 5, Instances: []*gantryv1.Instance{fund("9")}}
				if len(asked) == 2 {
					event.Full = true
				}
				send(reply(message, nil))
				send(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_ServiceEvent{ServiceEvent: event}})
				if event.Full {
					// Backwards.
					send(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_ServiceEvent{ServiceEvent: &gantryv1.ServiceEvent{
						Service: subscription.GetService(), Revision: 3, Removed: []string{"9"}}}})
				}
			}
		}))
		client := w.connect()
		sub, err := client.Subscribe("fund")
		w.must(err)
		w.must(sub.Ready(w.Context()))
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(asked) < 3 || slices.Max(asked) != 0 {
			w.Errorf("asked for revisions %v, want the whole each time", asked)
		}
		// A session that goes on like that is left, and the next one comes after a wait.
		if len(asked) > 100 {
			w.Errorf("asked %d times in a minute", len(asked))
		}
		if view := sub.View(); ids(view.Instances) != "9" {
			w.Errorf("sees %q, want what fitted", ids(view.Instances))
		}
	})
}

func TestGroupsAreApart(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		client := w.connect()
		_, err := client.Register(w.Context(), gantry.Instance{Service: "fund", Group: "blue", Port: 1})
		w.must(err)
		blue, err := client.Discover(w.Context(), "blue/fund")
		w.must(err)
		plain, err := client.Discover(w.Context(), "fund")
		w.must(err)
		if len(blue) != 1 || len(plain) != 0 || blue[0].Group != "blue" {
			w.Errorf("blue/fund has %d instances and fund %d", len(blue), len(plain))
		}
	})
}

func TestFunctionsThatStopListening(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		client := w.connect()
		binding, err := gantry.Bind(client, "limits", defaults)
		w.must(err)
		var heard []string
		stop := binding.OnChange(func(limits, limits) { heard = append(heard, "first") })
		binding.OnChange(func(limits, limits) { heard = append(heard, "second") })
		for _, content := range []string{"max-amount: 1", "max-amount: 2"} {
			version := w.Release("Config", "limits", "yaml", content)
			w.eventually("applied", func() bool { return w.Applied("Config", "limits", "loan-1").GetVersion() == version })
			stop()
		}
		if !slices.Equal(heard, []string{"first", "second", "second"}) {
			w.Errorf("heard %q, want the first once and in order", heard)
		}
		binding.Close()
		w.Release("Config", "limits", "yaml", "max-amount: 3")
		synctest.Wait()
		if binding.Get().MaxAmount != 2 {
			w.Errorf("after Close %+v, want the last value", binding.Get())
		}
		if _, err := client.Document("", "x"); err == nil {
			w.Error("a document without a kind was accepted")
		}
		w.must(client.Close())
		if _, err := gantry.Bind(client, "limits", defaults); !errors.Is(err, gantry.ErrClosed) {
			w.Errorf("binding to a closed client gave %v", err)
		}
	})
}
