package native

import (
	"context"
	"errors"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/signal/live"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// tickInterval is how often a stream says that it is alive.
const tickInterval = 5 * time.Second

type liveService struct{ api *API }

// Watch implements the service. There is one goroutine a stream: a write to a slow reader holds it up, and what moves meanwhile coalesces in the room.
func (s *liveService) Watch(ctx context.Context, r *gantryv1.LiveWatchRequest, stream *connect.ServerStream[gantryv1.LiveEvent]) error {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return err
	}
	watcher, err := s.api.Live.Watch(namespace)
	if err != nil {
		return err
	}
	defer watcher.Close()
	hello := &gantryv1.LiveHello{Version: s.api.Version, Node: s.api.Store.Self().Name, Time: timestamppb.Now(), Namespace: namespace, At: liveHint(watcher.Told())}
	if err := stream.Send(&gantryv1.LiveEvent{Event: &gantryv1.LiveEvent_Hello{Hello: hello}}); err != nil {
		return err
	}
	ctx, stop := edge.Waiting(ctx)
	defer stop()
	for tick := time.Now().Add(tickInterval); ; {
		wait := time.Now().Add(rightsInterval)
		if tick.Before(wait) {
			wait = tick
		}
		until, cancel := context.WithDeadline(ctx, wait)
		news, err := watcher.Next(until)
		cancel()
		// Asked each time: an identity that is held follows the grants.
		if err := access.Require(ctx, access.View, namespace); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return errLeaving()
		}
		if err == nil {
			err = sendNews(stream, news)
		} else if errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
		if now := time.Now(); err == nil && !now.Before(tick) {
			tick = now.Add(tickInterval)
			err = stream.Send(&gantryv1.LiveEvent{Event: &gantryv1.LiveEvent_Tick{Tick: &gantryv1.LiveTick{Time: timestamppb.New(now)}}})
		}
		if err != nil {
			return err
		}
	}
}

// stallLimit is how long a reader may take nothing before its stream is cut. What moves meanwhile is not kept for it, but its connection is.
const stallLimit = 30 * time.Second

// bounded lets each write of a stream that has no end take only so long.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&boundedWriter{ResponseWriter: w, controller: http.NewResponseController(w)}, r)
	})
}

type boundedWriter struct {
	http.ResponseWriter
	controller *http.ResponseController
}

// Write implements [http.ResponseWriter]. A server that knows no deadlines, as in tests, goes without.
func (w *boundedWriter) Write(data []byte) (int, error) {
	_ = w.controller.SetWriteDeadline(time.Now().Add(stallLimit))
	return w.ResponseWriter.Write(data)
}

// Flush implements [http.Flusher].
func (w *boundedWriter) Flush() { _ = w.controller.Flush() }

// Unwrap is for [http.ResponseController].
func (w *boundedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func sendNews(stream *connect.ServerStream[gantryv1.LiveEvent], news live.News) error {
	for i := range news.Changes {
		if err := stream.Send(&gantryv1.LiveEvent{Event: &gantryv1.LiveEvent_Change{Change: changeMessage(&news.Changes[i])}}); err != nil {
			return err
		}
	}
	if news.Hint == nil {
		return nil
	}
	return stream.Send(&gantryv1.LiveEvent{Event: &gantryv1.LiveEvent_Hint{Hint: liveHint(*news.Hint)}})
}

func liveHint(n live.Numbers) *gantryv1.LiveHint {
	return &gantryv1.LiveHint{Services: n.Services, Documents: n.Documents, Alerts: n.Alerts, Changes: n.Missed}
}
