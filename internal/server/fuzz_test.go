package server_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// methods that a fuzzer may call as it likes: nothing here waits for long.
var methods = []string{
	"InstanceService/Register", "InstanceService/Beat", "InstanceService/Deregister", "InstanceService/Lookup", "InstanceService/ListServices",
	"InstanceService/ListInstances", "InstanceService/SetOverride", "InstanceService/ConfigureService", "InstanceService/CreateNamespace",
	"InstanceService/DeleteNamespace", "ReleaseService/Publish", "ReleaseService/Validate", "ReleaseService/Release", "ReleaseService/Promote",
	"ReleaseService/Abort", "ReleaseService/Rollback", "ReleaseService/Delete", "ReleaseService/Get", "ReleaseService/List", "ReleaseService/History",
	"ReleaseService/Diff", "ReleaseService/Resolve", "ReleaseService/Preview", "ReleaseService/Applied", "AccessService/ListAudit",
	"AccessService/CreateUser", "AccessService/UpdateUser", "AccessService/CreateToken", "AccessService/RevokeToken", "ClusterService/RemoveMember",
}

// FuzzAPI sends anything to every method, as JSON and as protobuf. Whatever it is, the answer is not an internal error, and
// the server is there afterwards.
func FuzzAPI(f *testing.F) {
	s := start(f, nil)
	for i := range methods {
		f.Add(uint8(i), true, []byte(`{"service":{"service":"a"},"instance":{"address":"10.0.0.1","port":1},"ref":{"kind":"Config","name":"a"},"ids":["x"]}`))
		f.Add(uint8(i), true, []byte(`{"ref":{"kind":"Schema","name":"a"},"content":"YXBwbGllc1RvOiBbYV0Kc2NoZW1hOiB7fQ==","cohort":{"percent":1e300,"addresses":["::/0"]}}`))
		f.Add(uint8(i), false, []byte("\x0a\x03\x1a\x01a\x12\x05\x12\x01b\x18\x01"))
	}
	f.Fuzz(func(t *testing.T, method uint8, asJSON bool, body []byte) {
		name := methods[int(method)%len(methods)]
		request, err := http.NewRequest(http.MethodPost, "http://"+s.HTTPAddress()+"/gantry.v1."+name, strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", map[bool]string{true: "application/json", false: "application/proto"}[asJSON])
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode == http.StatusInternalServerError {
			t.Fatalf("%s %q: %s %s", name, body, response.Status, answer)
		}
	})
}

// FuzzSession sends any message into a session stream.
func FuzzSession(f *testing.F) {
	s := start(f, nil)
	connection, err := grpc.NewClient(s.GRPCAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { connection.Close() })
	seed := func(m *gantryv1.ClientMessage) {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	service := &gantryv1.ServiceRef{Service: "a"}
	seed(&gantryv1.ClientMessage{RequestId: 1, Message: &gantryv1.ClientMessage_Register{Register: &gantryv1.Register{Registrations: []*gantryv1.RegisterRequest{
		{Service: service, Instance: &gantryv1.Instance{Address: "10.0.0.1", Port: 1}}}}}})
	seed(&gantryv1.ClientMessage{RequestId: 1, Message: &gantryv1.ClientMessage_Register{Register: &gantryv1.Register{Registrations: []*gantryv1.RegisterRequest{{}}}}})
	seed(&gantryv1.ClientMessage{RequestId: 1, Message: &gantryv1.ClientMessage_Subscribe{Subscribe: &gantryv1.Subscribe{Subscriptions: []*gantryv1.Subscription{{Service: service, Revision: -1}}}}})
	seed(&gantryv1.ClientMessage{RequestId: 1, Message: &gantryv1.ClientMessage_SetStatus{SetStatus: &gantryv1.SetStatus{Service: service, Status: 99}}})
	seed(&gantryv1.ClientMessage{RequestId: 1, Message: &gantryv1.ClientMessage_Applied{Applied: &gantryv1.Applied{Reports: []*gantryv1.AppliedReport{{}}}}})
	seed(&gantryv1.ClientMessage{RequestId: 1, Message: &gantryv1.ClientMessage_WatchDocuments{WatchDocuments: &gantryv1.WatchDocuments{Refs: []*gantryv1.DocumentRef{{}}}}})
	f.Fuzz(func(t *testing.T, data []byte) {
		var message gantryv1.ClientMessage
		if proto.Unmarshal(data, &message) != nil {
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		stream, err := gantryv1.NewSessionServiceClient(connection).Open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []*gantryv1.ClientMessage{
			{Message: &gantryv1.ClientMessage_Hello{Hello: &gantryv1.Hello{Client: "fuzz"}}}, &message,
			{Message: &gantryv1.ClientMessage_Ping{Ping: &gantryv1.Ping{}}}} {
			if err := stream.Send(m); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
		for {
			answer, err := stream.Recv()
			if status.Code(err) == codes.Internal || status.Code(err) == codes.Unavailable {
				t.Fatalf("%v: %v", &message, err)
			}
			if err != nil || answer.GetPong() != nil {
				return
			}
			for _, reply := range append(answer.GetReplies().GetReplies(), answer.GetReply()) {
				if failure := reply.GetFailure(); failure.GetCode() == uint32(codes.Internal) {
					t.Fatalf("%v: %v", &message, failure)
				}
			}
		}
	})
}
