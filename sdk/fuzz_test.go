package gantry_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

// Whatever a server says: the client does not panic, its views hold together, and a pick is among what is available.
func FuzzServerMessages(f *testing.F) {
	ref := testserver.Ref("fund")
	for _, message := range []*gantryv1.ServerMessage{
		{Message: &gantryv1.ServerMessage_ServiceEvent{ServiceEvent: &gantryv1.ServiceEvent{
			Service: ref, Revision: 1, Full: true, Instances: []*gantryv1.Instance{fund("1"), fund("1"), {Weight: proto.Float64(-1)}}}}},
		{Message: &gantryv1.ServerMessage_ServiceEvent{ServiceEvent: &gantryv1.ServiceEvent{
			Service: ref, Revision: 2, Instances: []*gantryv1.Instance{fund("2")}, Removed: []string{"1", "7"}}}},
		{Message: &gantryv1.ServerMessage_DocumentEvent{DocumentEvent: &gantryv1.DocumentEvent{
			Ref: &gantryv1.DocumentRef{Namespace: "default", Kind: "Config", Name: "limits"}, Version: &gantryv1.Version{Version: 1, Format: "yaml"}}}},
		{Message: &gantryv1.ServerMessage_Reply{Reply: &gantryv1.Reply{RequestId: 1, Failure: &gantryv1.Failure{Code: 99}}}},
		{Message: &gantryv1.ServerMessage_GoAway{GoAway: &gantryv1.GoAway{Nodes: []string{"", "x"}}}},
	} {
		encoded, err := proto.Marshal(message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded, encoded)
	}
	client, err := gantry.Connect(f.Context(), gantry.WithAddresses("nowhere:1"), gantry.WithPlaintext(), gantry.WithSnapshotWait(0),
		gantry.WithLogger(slog.New(slog.DiscardHandler)),
		gantry.WithDialer(func(context.Context, string) (net.Conn, error) { return nil, errors.New("no network") }))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { client.Close() })
	subscription, err := client.Subscribe("fund")
	if err != nil {
		f.Fatal(err)
	}
	document, err := client.Document(gantry.KindConfig, "limits")
	if err != nil {
		f.Fatal(err)
	}
	receive := gantry.Feed(client)
	f.Cleanup(func() { gantry.Unfeed(client) })
	f.Fuzz(func(t *testing.T, first, second []byte) {
		_ = receive(first)
		_ = receive(second)
		view := subscription.View()
		if !slices.IsSortedFunc(view.Instances, func(a, b *gantry.Instance) int { return strings.Compare(a.ID, b.ID) }) {
			t.Error("instances are not in order")
		}
		for n, i := range view.Instances {
			if n > 0 && view.Instances[n-1].ID == i.ID {
				t.Errorf("%q is there twice", i.ID)
			}
			if !(i.Weight >= 0 && i.Weight <= gantry.MaxWeight) {
				t.Errorf("weight %v", i.Weight)
			}
		}
		if picked := view.Pick(); (picked == nil) != (len(view.Available()) == 0) || picked != nil && !slices.Contains(view.Available(), picked) {
			t.Errorf("picked %v of %d", picked, len(view.Available()))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if content, err := document.Get(ctx); err == nil && len(content.Data) > 1<<20 {
			t.Errorf("%d bytes were accepted", len(content.Data))
		}
	})
}
