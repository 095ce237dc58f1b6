// Package gantry is the client library of Gantry: a service connects, registers its instances, finds those
// of other services, and takes its configuration.
//
//	client, err := gantry.Connect(ctx, gantry.WithIdentity(gantry.Identity{Service: "loan", Version: "1.4.2"}))
//	...
//	registration, err := client.Register(ctx, gantry.Instance{Service: "loan", Port: 8080})
//	limits, err := gantry.Bind(client, "loan-limits.yaml", Limits{MaxAmount: 5000})
//
// One gRPC stream (the session) carries everything. While no server can be reached, the client keeps what it knows,
// marks it stale, tries to reconnect for ever, and afterwards registers, subscribes and reports everything again.
// A service also starts without a server: from a sealed file of what it knew before.
//
// Package gantryhttp gives an http.RoundTripper and package gantrygrpc a resolver for grpc-go on top of it.
//
// The package imports gRPC, protobuf and parsers for YAML and TOML, and nothing of the server. Everything exported
// is safe for concurrent use unless it says otherwise.
//
// Lock order, for those who change the package: Client.mu before link.mu; no lock is held while a caller's function runs.
package gantry
