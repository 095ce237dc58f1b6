package peer

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/peer/peerv1"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/red"
)

// recorded answers always the same, and remembers what it was asked.
type recorded struct {
	part  red.Part
	err   error
	asked red.Question
}

func (r *recorded) Count(_ context.Context, q red.Question) (red.Part, error) {
	r.asked = q
	return r.part, r.err
}

func TestWhatANodeCountedCrossesTheWireWhole(t *testing.T) {
	at := time.Date(2026, 3, 14, 15, 9, 26, 535, time.UTC)
	want := red.Part{Window: red.Window{Since: at, Until: at.Add(time.Minute), FromSeries: true, Partial: true}, Services: []string{"loan"}, Lanes: []string{"blue"}, Unlisted: 7,
		Counts: []red.Count{
			{Names: red.Names{"user", "loan", "service", "http", "blue"}, Outcomes: [3]red.Buckets{signal.Failed: {Schema: 2, First: -40, Counts: []uint64{3, 0, 1}, Zeros: 2, Sum: 1.5}}},
			{Names: red.Names{"loan", "loan-0", "v7", "green", "r2"}, Outcomes: [3]red.Buckets{signal.Refused: {Zeros: 1}}, Instances: []uint64{1 << 63}, Endpoints: []uint64{2, 3}, Zone: "a",
				First: at, Last: at.Add(time.Second), Behind: -3 * time.Second, Spans: 9, Late: 1}},
		Errors: []red.ErrorGroup{{Service: "loan", Code: "503", Fingerprint: 1 << 63, Type: "T", Message: "m", Frame: "f", Endpoint: "GET /", Trace: signal.TraceID{1, 15: 2}, Count: 5, Uncertain: 1, First: at, Last: at},
			{Service: "loan", Code: "log", Count: 1, First: at, Last: at}},
		Excesses: []red.Excess{{Namespace: "prod", Service: "loan", What: "endpoints", Limit: 500, Turned: 8, Example: "x", Last: at}}}
	room := &recorded{part: want}
	ready := false
	service := &FiguresService{Red: room, Started: func() bool { return ready }}
	asked := red.Question{Subject: red.AboutEndpoints, Namespace: "prod", Service: "loan", Lane: "blue", Since: at}
	request := &peerv1.CountRequest{Subject: peerv1.FiguresSubject_FIGURES_SUBJECT_ENDPOINTS, Namespace: "prod", Service: "loan", Lane: "blue", Since: bound(at)}
	if _, err := service.Count(t.Context(), request); status.Code(err) != codes.Unavailable {
		t.Errorf("a node that is starting answers %v", err)
	}
	ready = true
	answer, err := service.Count(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if room.asked != asked {
		t.Errorf("asked %+v, not %+v", room.asked, asked)
	}
	data, err := proto.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	var read peerv1.CountResponse
	if err := proto.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	got, err := partOf("prod", &read)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v, not\n%+v", err, got, want)
	}
	room.err = errors.Join(fault.New(fault.Unavailable, "topology.unreadable", "no"))
	if _, err := service.Count(t.Context(), request); status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
	if _, err := partOf("prod", &peerv1.CountResponse{Counts: []*peerv1.Count{{Names: make([]string, 6)}}}); err == nil {
		t.Error("a count with six names is read")
	}
}

// FuzzPart: whatever another node sends is refused or read, and never more than that.
func FuzzPart(f *testing.F) {
	part := red.Part{Counts: []red.Count{{Names: red.Names{"loan"}, Outcomes: [3]red.Buckets{{Schema: 3, First: -40, Counts: []uint64{3, 0, 1}, Sum: 1.5}, {Schema: 1, First: 4, Counts: []uint64{1}, Sum: 9}}}},
		Errors: []red.ErrorGroup{{Service: "loan", Code: "503", Count: 5, Uncertain: 1}}}
	seed, err := proto.Marshal(wirePart(&part))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{0x2a, 0x04, 0x12, 0x02, 0x08, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		var wire peerv1.CountResponse
		if proto.Unmarshal(data, &wire) != nil {
			return
		}
		other, err := partOf("prod", &wire)
		room, failed := red.New(red.Options{Node: "n1", Others: func() map[string]red.Counter { return map[string]red.Counter{"n2": &recorded{part: other, err: err}} }})
		if failed != nil {
			t.Fatal(failed)
		}
		if _, err := room.Topology(t.Context(), "prod", time.Time{}, time.Time{}); err != nil {
			t.Error(err)
		}
		if _, _, err := room.Services(t.Context(), "prod", time.Time{}, time.Time{}); err != nil {
			t.Error(err)
		}
		if _, _, err := room.Errors(t.Context(), "prod", "", 0); err != nil {
			t.Error(err)
		}
	})
}
