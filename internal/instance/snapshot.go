package instance

import (
	"sync"

	"google.golang.org/protobuf/proto"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Snapshot is a service as of one moment. It is immutable and shared by all readers.
type Snapshot struct {
	Service Service
	// Revision is that of the service's newest change in the state.
	Revision int64
	// Version counts the changes that this node has seen, provisional ones included. It means nothing on another node
	// or after a restart.
	Version uint64
	// Made is when this node made the snapshot, in milliseconds by the wall clock. A newer snapshot of the service has a larger one, whatever
	// the clock does, for languages whose clients drop what is not newer than what they have.
	Made int64
	// Instances are sorted by id.
	Instances []*Instance
	// Protected: some instances are kept although they are lost.
	Protected bool
	// Provisional: some instances are not committed.
	Provisional bool
	// Stale: the node has no quorum, and the snapshot may be behind.
	Stale bool
	// Settings of the service; nil when there are none. Do not change them.
	Settings *gantryv1.ServiceSettings

	available func() []*Instance
	encoded   func() []byte
	forms     forms
}

// forms are what foreign languages make of a snapshot.
type forms struct {
	mu   sync.Mutex
	made map[any]any
}

// maxForms bounds the forms that one snapshot keeps: a few languages, each with a few ways to ask.
const maxForms = 32

// Form returns what a language makes of the snapshot, such as its JSON: made once, at the first call with this key, and shared, so that a
// change is encoded once however many ask. The key is comparable and of a type of the caller's own; what it stands for must follow from the
// snapshot alone, and nobody may change it. make does not ask the same snapshot for another form: get that first. Beyond some forms nothing is kept and each call makes its own.
func (s *Snapshot) Form(key any, make func() any) any {
	s.forms.mu.Lock()
	defer s.forms.mu.Unlock()
	if form, made := s.forms.made[key]; made {
		return form
	}
	form := make()
	if len(s.forms.made) < maxForms {
		if s.forms.made == nil {
			s.forms.made = map[any]any{}
		}
		s.forms.made[key] = form
	}
	return form
}

// prepare readies what is worked out at most once, when it is first asked for.
func (s *Snapshot) prepare() *Snapshot {
	s.available = sync.OnceValue(s.findAvailable)
	s.encoded = sync.OnceValue(s.encode)
	return s
}

// Available are the instances that take traffic. When there is none, they are the protected ones that are up: it is
// likelier then that we have lost sight of them than that all are gone. Do not change the slice.
func (s *Snapshot) Available() []*Instance { return s.available() }

func (s *Snapshot) findAvailable() []*Instance {
	available := make([]*Instance, 0, len(s.Instances))
	for _, i := range s.Instances {
		if i.Available() {
			available = append(available, i)
		}
	}
	if len(available) > 0 || !s.Protected {
		return available
	}
	for _, i := range s.Instances {
		if i.Protected && i.EffectiveStatus() == gantryv1.Status_STATUS_UP {
			available = append(available, i)
		}
	}
	return available
}

// Instance returns the instance of an id, or nil.
func (s *Snapshot) Instance(id string) *Instance {
	at, found := search(s.Instances, id)
	if !found {
		return nil
	}
	return s.Instances[at]
}

// Encoded is the whole service as a gantryv1.ServiceEvent in protobuf's encoding, made once. Do not change it.
func (s *Snapshot) Encoded() []byte { return s.encoded() }

// Event decodes [Snapshot.Encoded]. The caller owns the message.
func (s *Snapshot) Event() *gantryv1.ServiceEvent { return decodeEvent(s.Encoded()) }

// resumable is the revision that a client may resume from: none while it holds what other nodes do not know.
func (s *Snapshot) resumable() int64 {
	if s.Provisional {
		return 0
	}
	return s.Revision
}

func (s *Snapshot) encode() []byte {
	size := 64 + len(s.Service.Namespace) + len(s.Service.Group) + len(s.Service.Name)
	for _, i := range s.Instances {
		size += sizeInstance(i)
	}
	b := appendEvent(make([]byte, 0, size), s.Service, s.resumable(), true, s.Stale, s.Protected)
	for _, i := range s.Instances {
		b = appendInstance(b, i)
	}
	return b
}

func decodeEvent(encoded []byte) *gantryv1.ServiceEvent {
	event := new(gantryv1.ServiceEvent)
	_ = proto.Unmarshal(encoded, event) // made by this package: it decodes
	return event
}

// Frame is what a subscriber gets of one service: all of it, or what changed. It is shared by all that need the same.
type Frame struct {
	Service Service
	// Revision is what the client holds after this frame, to resume from and to acknowledge; 0 when
	// it cannot resume from here because the node has no quorum.
	Revision int64
	// Full: Encoded is the whole service.
	Full bool
	// Encoded is a gantryv1.ServiceEvent in protobuf's encoding. Do not change it.
	Encoded []byte
}

// Event decodes the frame. The caller owns the message.
func (f *Frame) Event() *gantryv1.ServiceEvent { return decodeEvent(f.Encoded) }

// search finds an id in a sorted list, or where it belongs. It compares once a step: this is most of what finding costs.
func search(list []*Instance, id string) (int, bool) {
	from, until := 0, len(list)
	for from < until {
		middle := int(uint(from+until) >> 1)
		if list[middle].ID < id {
			from = middle + 1
		} else {
			until = middle
		}
	}
	return from, from < len(list) && list[from].ID == id
}
