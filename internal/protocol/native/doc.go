// Package native speaks Gantry's own protocol: the services of gantry.v1, by Connect (so that curl with JSON, gRPC-Web and
// gRPC all work) on the HTTP port, and session streams by grpc-go on the gRPC port.
//
// It translates and nothing more. Each method keeps one rhythm: name the namespace, ask whether the caller
// may, call the room that knows, answer in the API's words. What outlives a request or a stream lives in the rooms.
//
// It imports instance, release, signal/event, signal/live, access, policy, state, fault and protocol/edge.
package native
