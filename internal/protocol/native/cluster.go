package native

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"connectrpc.com/connect"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

type clusterService struct{ api *API }

func (s *clusterService) Status(ctx context.Context, _ *gantryv1.StatusRequest) (*gantryv1.StatusResponse, error) {
	identity := access.FromContext(ctx)
	if !identity.Active() {
		// Whoever is somebody may know whether the server is well.
		return nil, access.Require(ctx, access.View, "default")
	}
	store := s.api.Store
	answer := &gantryv1.StatusResponse{Node: s.api.Describe(), Quorum: store.Quorum(), ClusterId: store.ClusterID(),
		FormatVersion: state.FormatVersion, DiskFreeBytes: store.DiskFree(), StateMode: "external"}
	if store.Embedded() {
		answer.StateMode = "embedded"
	}
	if err := store.Writable(); err != nil {
		answer.Unwritable = fault.From(err).Message
	}
	s.describeNodes(ctx, answer)
	members, err := store.Members(ctx)
	if err != nil {
		return nil, err
	}
	for _, member := range members {
		answer.Members = append(answer.Members, &gantryv1.Member{Id: member.ID, Name: member.Name, PeerUrls: member.PeerURLs,
			Learner: member.Learner, Leader: member.Leader})
	}
	// Without quorum an external etcd may not answer; the rest of the status is then what matters.
	if figures, err := store.Figures(ctx); err == nil {
		answer.Revision, answer.MirroredRevision = figures.Revision, figures.Mirrored
		answer.DatabaseBytes, answer.DatabaseQuotaBytes = uint64(figures.DatabaseBytes), uint64(figures.QuotaBytes)
	} else {
		answer.Warnings = append(answer.Warnings, "etcd does not answer: "+fault.From(err).Message)
	}
	counts := s.api.Instances.Figures()
	answer.Services, answer.Instances, answer.Provisional = int64(counts.Services), int64(counts.Instances), int64(counts.Provisional)
	for _, namespace := range s.api.Instances.Namespaces() {
		documents, _ := s.api.Releases.Documents(namespace.Name)
		answer.Documents += int64(documents)
	}
	answer.Warnings = append(answer.Warnings, s.api.Warnings()...)
	return answer, nil
}

// describeNodes lists the live nodes, each with its own figures where it answers.
func (s *clusterService) describeNodes(ctx context.Context, answer *gantryv1.StatusResponse) {
	var described map[string]*gantryv1.Node
	if s.api.Peers != nil {
		described = s.api.Peers.Describe(ctx)
	}
	for _, node := range s.api.Store.Nodes() {
		switch full := described[node.ID]; {
		case node.ID == answer.Node.Id:
			answer.Nodes = append(answer.Nodes, answer.Node)
		case full != nil:
			answer.Nodes = append(answer.Nodes, full)
		default:
			answer.Nodes = append(answer.Nodes, NodeOf(node))
			answer.Warnings = append(answer.Warnings, "node "+node.Name+" does not answer the other nodes")
		}
	}
}

func (s *clusterService) RemoveMember(ctx context.Context, r *gantryv1.RemoveMemberRequest) (*gantryv1.RemoveMemberResponse, error) {
	if err := access.Require(ctx, access.Administer, "*"); err != nil {
		return nil, err
	}
	if r.Member == "" {
		return nil, fault.New(fault.Invalid, "request.missing", "no member named").At("member").Hinted("`gantry status` lists them")
	}
	if err := s.api.Store.RemoveMember(ctx, r.Member); err != nil {
		return nil, err
	}
	put, err := access.Record(ctx, access.Entry{Action: "cluster.remove_member", Target: r.Member})
	if err != nil {
		return nil, err
	}
	if _, err := s.api.Store.Commit(ctx, state.Change{Put: []state.Put{put}}); err != nil {
		return nil, err
	}
	return &gantryv1.RemoveMemberResponse{}, nil
}

// chunkBytes is the size of one message of a backup.
const chunkBytes = 256 << 10

func (s *clusterService) Backup(ctx context.Context, _ *gantryv1.BackupRequest, stream *connect.ServerStream[gantryv1.BackupResponse]) error {
	if err := access.Require(ctx, access.Administer, "*"); err != nil {
		return err
	}
	put, err := access.Record(ctx, access.Entry{Action: "cluster.backup"})
	if err != nil {
		return err
	}
	if _, err := s.api.Store.Commit(ctx, state.Change{Put: []state.Put{put}}); err != nil && !fault.Is(err, fault.Unavailable) {
		return err
	}
	writer := &chunkWriter{stream: stream, sum: sha256.New()}
	if err := s.api.Store.Backup(ctx, writer); err != nil {
		return err
	}
	return writer.finish()
}

// chunkWriter sends what is written to it in messages of one size.
type chunkWriter struct {
	stream interface {
		Send(*gantryv1.BackupResponse) error
	}
	sum interface {
		Write([]byte) (int, error)
		Sum([]byte) []byte
	}
	buffer []byte
	total  uint64
}

func (w *chunkWriter) Write(data []byte) (int, error) {
	w.sum.Write(data)
	w.buffer = append(w.buffer, data...)
	for len(w.buffer) >= chunkBytes {
		if err := w.send(w.buffer[:chunkBytes], ""); err != nil {
			return 0, err
		}
		w.buffer = append(w.buffer[:0], w.buffer[chunkBytes:]...)
	}
	return len(data), nil
}

func (w *chunkWriter) send(chunk []byte, checksum string) error {
	w.total += uint64(len(chunk))
	return w.stream.Send(&gantryv1.BackupResponse{Chunk: chunk, SentBytes: w.total, Checksum: checksum})
}

func (w *chunkWriter) finish() error {
	return w.send(w.buffer, hex.EncodeToString(w.sum.Sum(nil)))
}

// NodeOf is a node in the API's words.
func NodeOf(node state.Node) *gantryv1.Node {
	return &gantryv1.Node{Id: node.ID, Name: node.Name, HttpAddress: node.HTTPAddress, GrpcAddress: node.GRPCAddress,
		PeerAddress: node.PeerAddress, Version: node.Version, StartedAt: timestamp(node.Started)}
}
