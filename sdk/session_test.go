package gantry_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

func TestConnectDoesNotFailWithoutServer(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		nodes[0].Stop()
		client := w.connect()
		synctest.Wait()
		if state := client.Connection(); state.Open || state.Err == nil || !strings.Contains(state.Err.Error(), "a:9848") {
			w.Errorf("connection %+v; want closed, with a reason that names the address", state)
		}
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		if err := client.WaitConnected(ctx); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("waiting gave %v, want the deadline", err)
		}
		nodes[0].Start()
		w.must(client.WaitConnected(w.Context()))
		if state := client.Connection(); !state.Open || state.Err != nil || state.Node != "a:9848" {
			w.Errorf("connection %+v, want open on a", state)
		}
	})
}

func TestReconnectIsBoundedAndNeverGivesUp(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		client := w.connect(gantry.WithWait())
		nodes[0].Stop()
		time.Sleep(4 * time.Hour)
		attempts := w.journal.count(`msg="no session`)
		// Waits are random under 10 s.
		if attempts < 14_400/10 || attempts > 14_400/2 {
			w.Errorf("%d attempts in 4 hours, want one every 2 to 10 seconds", attempts)
		}
		if said := w.journal.count("level=WARN"); said > 5 {
			w.Errorf("%d warnings about one outage, want each reason once", said)
		}
		nodes[0].Start()
		start := time.Now()
		w.must(client.WaitConnected(w.Context()))
		if took := time.Since(start); took > 15*time.Second {
			w.Errorf("reconnecting took %s, want at most one wait and one dial", took)
		}
	})
}

func TestRegistersAgainAfterOutage(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		client := w.connect()
		for _, port := range []int{8080, 8081} {
			registration, err := client.Register(w.Context(), gantry.Instance{Service: "loan", Port: port, Labels: map[string]string{"lane": "blue"}})
			w.must(err)
			<-registration.Registered()
		}
		nodes[0].Stop()
		time.Sleep(time.Minute)
		if left := w.Instances(testserver.Ref("loan")); len(left) != 0 {
			w.Fatalf("the test server still has %v", left)
		}
		nodes[0].Start()
		w.eventually("both registered again", func() bool { return w.Owned(testserver.Ref("loan")) == 2 })
		instance := w.Instances(testserver.Ref("loan"))["loan-1"]
		if instance.GetLabels()["version"] != "1.4.2" || instance.GetLabels()["lane"] != "blue" || instance.GetAddress() != "10.0.0.1" {
			w.Errorf("registered again as %v", instance)
		}
		if second := w.Instances(testserver.Ref("loan"))["10.0.0.1:8081"]; second == nil {
			w.Error("the second instance has lost the id that the server gave it")
		}
	})
}

func TestMovesToAnotherNode(t *testing.T) {
	inBubble(t, threeNodes, func(w *world, nodes []*testserver.Node) {
		client := w.connect(gantry.WithWait())
		_, err := client.Register(w.Context(), gantry.Instance{Port: 8080})
		w.must(err)
		// Only a was named; b and c are learned.
		nodes[0].Stop()
		w.eventually("registered on another node", func() bool {
			return w.Owned(testserver.Ref("loan")) == 1 && client.Connection().Address != "a:9848"
		})
	})
}

func TestGoAwayLeavesNoGap(t *testing.T) {
	inBubble(t, threeNodes, func(w *world, nodes []*testserver.Node) {
		client := w.connect(gantry.WithWait())
		_, err := client.Register(w.Context(), gantry.Instance{Port: 8080})
		w.must(err)
		sub, err := client.Subscribe("loan")
		w.must(err)
		w.must(sub.Ready(w.Context()))
		var gaps, stale int
		seen := make(chan struct{})
		go func() {
			defer close(seen)
			for {
				view, err := sub.Next(w.Context())
				if err != nil {
					return
				}
				if len(view.Available()) != 1 {
					gaps++
				}
				if view.Stale {
					stale++
				}
			}
		}()
		nodes[0].GoAway()
		w.eventually("moved", func() bool { return w.Opened() == 2 && w.Open() == 1 && w.Owned(testserver.Ref("loan")) == 1 })
		time.Sleep(time.Minute)
		sub.Close()
		<-seen
		if gaps > 0 || stale > 0 {
			w.Errorf("%d views without the instance and %d stale ones, want none", gaps, stale)
		}
		if at := client.Connection().Address; at == "a:9848" {
			w.Errorf("the session is still on %s", at)
		}
		if w.Owned(testserver.Ref("loan")) != 1 {
			w.Error("the registration was lost after the old session's ttl")
		}
	})
}

func TestGoAwayWithNowhereToGo(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		client := w.connect(gantry.WithWait())
		_, err := client.Register(w.Context(), gantry.Instance{Port: 8080})
		w.must(err)
		nodes[0].GoAway()
		time.Sleep(time.Minute)
		if !client.Connection().Open || w.Opened() != 1 {
			w.Errorf("%d sessions opened, want the old one kept until it ends", w.Opened())
		}
		nodes[0].Stop()
		nodes[0].Start()
		w.eventually("registered again", func() bool { return w.Owned(testserver.Ref("loan")) == 1 })
	})
}

func TestLeavesServerThatHangs(t *testing.T) {
	inBubble(t, threeNodes, func(w *world, nodes []*testserver.Node) {
		client := w.connect(gantry.WithWait())
		_, err := client.Register(w.Context(), gantry.Instance{Port: 8080})
		w.must(err)
		nodes[0].Freeze()
		start := time.Now()
		w.eventually("left", func() bool {
			return w.Opened() >= 2 && client.Connection().Address != "a:9848" && client.Connection().Open
		})
		if took := time.Since(start); took > 30*time.Second {
			w.Errorf("leaving took %s, want about two ping intervals of 10s", took)
		}
		w.eventually("registered", func() bool { return w.Owned(testserver.Ref("loan")) == 1 })
	})
}

func TestLeavesServerThatTalksNonsense(t *testing.T) {
	welcome := &gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Welcome{Welcome: &gantryv1.Welcome{NodeId: "bad"}}}
	for name, first := range map[string][]*gantryv1.ServerMessage{
		"no welcome":      {{Message: &gantryv1.ServerMessage_Pong{}}},
		"second welcome":  {welcome, welcome},
		"unasked reply":   {welcome, {Message: &gantryv1.ServerMessage_Reply{Reply: &gantryv1.Reply{RequestId: 99}}}},
		"ends at once":    {welcome},
		"says nothing":    nil,
		"unknown message": {welcome, {}, {}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
				nodes[0].Misbehave(func(stream gantryv1.SessionService_OpenServer) error {
					if name == "says nothing" {
						<-stream.Context().Done()
						return nil
					}
					for _, message := range first {
						if err := stream.Send(message); err != nil {
							return err
						}
					}
					if name == "ends at once" {
						return nil
					}
					<-stream.Context().Done()
					return nil
				})
				client := w.connect()
				registration, err := client.Register(w.Context(), gantry.Instance{Port: 8080})
				w.must(err)
				if registration.State().Registered {
					w.Error("registered by a server that never answered")
				}
				nodes[0].Misbehave(nil)
				w.eventually("registered", func() bool { return w.Owned(testserver.Ref("loan")) == 1 })
			})
		})
	}
}

func TestRefusedSessionIsToldAndRetriedSlowly(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		const secret = "a-token-nobody-may-see"
		w.SetToken("another")
		_, err := gantry.Connect(w.Context(), w.options(gantry.WithToken(secret), gantry.WithWait())...)
		var refused *gantry.Error
		if !errors.As(err, &refused) || refused.Code != codes.Unauthenticated || refused.Reason != "access.token_unknown" || refused.Hint == "" {
			w.Fatalf("connecting gave %v, want the server's refusal with its hint", err)
		}
		said, tries := w.journal.count("level=ERROR"), w.journal.count(`msg="no session`)
		client := w.connect(gantry.WithToken(secret))
		time.Sleep(10 * time.Minute)
		if said = w.journal.count("level=ERROR") - said; said != 1 {
			w.Errorf("%d errors logged, want one", said)
		}
		if tries = w.journal.count(`msg="no session`) - tries; tries < 10 || tries > 20 {
			w.Errorf("%d attempts in 10 minutes, want one each 30 to 40 seconds", tries)
		}
		if strings.Contains(w.journal.String(), secret) || strings.Contains(err.Error(), secret) {
			w.Error("the token is in the log or in an error")
		}
		w.SetToken(secret)
		w.must(waitOpen(w, client))
	})
}

// waitOpen waits through refusals, which WaitConnected does not.
func waitOpen(w *world, client *gantry.Client) error {
	ctx, cancel := context.WithTimeout(w.Context(), 2*time.Minute)
	defer cancel()
	return w.Wait(ctx, func() bool { return client.Connection().Open })
}

func TestCloseDeregisters(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		client := w.connect(gantry.WithWait())
		_, err := client.Register(w.Context(), gantry.Instance{Port: 8080})
		w.must(err)
		sub, err := client.Subscribe("loan")
		w.must(err)
		w.must(client.Close())
		if left := w.Instances(testserver.Ref("loan")); len(left) != 0 {
			w.Errorf("left behind: %v", left)
		}
		if _, err := client.Register(w.Context(), gantry.Instance{Port: 8080}); !errors.Is(err, gantry.ErrClosed) {
			w.Errorf("registering gave %v, want ErrClosed", err)
		}
		if _, err := client.Discover(w.Context(), "fund"); !errors.Is(err, gantry.ErrClosed) {
			w.Errorf("discovering gave %v, want ErrClosed", err)
		}
		if _, err := sub.Next(w.Context()); !errors.Is(err, gantry.ErrClosed) {
			w.Errorf("next gave %v, want ErrClosed", err)
		}
		w.must(client.Close())
	})
}
