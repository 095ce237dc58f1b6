package native

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// reader reads a stream in a goroutine of its own, because nothing but the end of the handler ends a Recv. It acts on what it reads
// itself: handing every message on would cost more than many of them do.
type reader struct {
	stream  grpc.BidiStreamingServer[gantryv1.ClientMessage, gantryv1.ServerMessage]
	cancel  context.CancelCauseFunc
	first   chan *gantryv1.ClientMessage
	session chan *session
}

func (r *reader) run() {
	message, err := r.stream.Recv()
	if err != nil {
		r.cancel(err)
		return
	}
	r.first <- message
	s := <-r.session
	if s == nil {
		return
	}
	for {
		message, err := r.stream.Recv()
		if err == nil {
			err = s.receive(message)
		}
		if err != nil {
			r.cancel(err)
			return
		}
	}
}

func awaitHello(ctx context.Context, incoming <-chan *gantryv1.ClientMessage) (*gantryv1.Hello, error) {
	timer := time.NewTimer(helloTimeout)
	defer timer.Stop()
	select {
	case message := <-incoming:
		if hello := message.GetHello(); hello != nil {
			return hello, nil
		}
		return nil, fault.New(fault.Invalid, "session.no_hello", "the first message is %T", message.Message).At("message").Hinted("begin a session with hello")
	case <-timer.C:
		return nil, fault.New(fault.DeadlineExceeded, "session.no_hello", "no message within %v", helloTimeout).Hinted("begin a session with hello")
	case <-ctx.Done():
		return nil, streamEnd(ctx)
	}
}

// maxSubjectBytes bounds who a client says it is, which is kept with every report of the session. As many labels as an
// instance may have fit.
const maxSubjectBytes = 48 << 10

func checkSubject(subject *gantryv1.Subject) error {
	if size := proto.Size(subject); size > maxSubjectBytes {
		return fault.New(fault.TooLarge, "session.subject_too_large", "the subject has %d bytes", size).At("hello.subject").
			Hinted("at most %d bytes: leave out labels that choose nothing", maxSubjectBytes)
	}
	if namespace := subject.GetService().GetNamespace(); namespace != "" {
		return instance.CheckNamespace(namespace)
	}
	return nil
}

// streamEnd is why a stream ended: nil when the client closed it.
func streamEnd(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, io.EOF) || errors.Is(cause, context.Canceled) {
		return nil
	}
	if _, ok := fault.As(cause); ok {
		return cause
	}
	// What broke the connection is not for the client, who is gone.
	return nil
}

// reply answers a request that wants an answer.
func (s *session) reply(id uint64, reply *gantryv1.Reply, err error) {
	if id == 0 {
		return
	}
	if reply == nil {
		reply = &gantryv1.Reply{}
	}
	reply.RequestId = id
	if err != nil {
		s.api.logInternal("gantry.v1.SessionService/Open", err)
		reply.Failure = failure(err)
	}
	s.queue(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Reply{Reply: reply}})
}

func (s *session) queue(message *gantryv1.ServerMessage) {
	select {
	case s.outgoing <- message:
	case <-s.ctx.Done():
	}
}

// send is the only writer of the stream. Replies that are ready together, as after a commit that many registrations shared, go in
// one message: each message costs both ends more than what it says.
func (s *session) send(stream grpc.BidiStreamingServer[gantryv1.ClientMessage, gantryv1.ServerMessage]) {
	for {
		select {
		case message := <-s.outgoing:
			for message != nil {
				var next *gantryv1.ServerMessage
				if message.GetReply() != nil {
					message, next = s.joinReplies(message)
				}
				if err := stream.Send(message); err != nil {
					s.cancel(err)
					return
				}
				message = next
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// joinReplies takes the replies that wait behind one, up to what is none, which it returns as next.
func (s *session) joinReplies(first *gantryv1.ServerMessage) (joined, next *gantryv1.ServerMessage) {
	var all []*gantryv1.Reply
	for len(all) < outgoingMessages {
		select {
		case message := <-s.outgoing:
			reply := message.GetReply()
			if reply == nil {
				next = message
				break
			}
			if all == nil {
				all = append(all, first.GetReply())
			}
			all = append(all, reply)
			continue
		default:
		}
		break
	}
	if all == nil {
		return first, next
	}
	return &gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Replies{Replies: &gantryv1.Replies{Replies: all}}}, next
}

func (s *session) pushServices() {
	for {
		frames, err := s.subscriber.Next(s.ctx)
		if err != nil {
			return
		}
		identity := access.FromContext(s.ctx)
		for _, frame := range frames {
			if !identity.May(mayRead, frame.Service.Namespace) {
				s.cancel(access.Require(s.ctx, mayRead, frame.Service.Namespace))
				return
			}
			s.queue(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_ServiceEvent{ServiceEvent: encodedEvent(frame.Encoded)}})
		}
	}
}

func (s *session) pushDocuments() {
	for {
		frames, err := s.watcher.Next(s.ctx)
		if err != nil {
			return
		}
		for _, frame := range frames {
			s.queue(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_DocumentEvent{DocumentEvent: encodedDocument(frame.Encoded)}})
		}
	}
}
