// Package consul speaks Consul's HTTP API (https://developer.hashicorp.com/consul/api-docs) and its DNS, so that services and tools
// made for Consul join by changing an address. It is a translation to instance and release and keeps nothing beyond a request,
// except what waits in blocking queries.
//
// # Flow
//
// [Handler] takes every path that begins with /v1/, as it stands: keys may hold "//" and "%2F", which http.ServeMux would
// redirect. routes.go finds the operation by the path's first words; call.go reads what all operations have in common (token,
// namespace, datacenter, index and wait, filter, consistency); the operation asks [access.Require] and answers through the call, which sets
// Consul's headers. Errors are plain texts with Consul's statuses (answer.go). blocking.go holds queries until what they ask for
// changes.
//
// # One agent
//
// To Consul's clients the whole cluster is one agent with one node, in one datacenter, "dc1". Any Gantry node answers for it,
// so that a client may change from one to another between two requests.
//
//	Consul            Gantry
//	service           service of the default group; "group@@name" names one of another group, as Nacos writes it
//	namespace         namespace, by ?ns=, X-Consul-Namespace, or the path /ns/<namespace>/v1/...
//	service id        instance id, or the id's part before "@address:port"; see below
//	Meta              metadata; version, zone and lane are labels too
//	Tags and the rest protocol_data
//	Weights.Passing   weight
//	check             check of the instance, with its id
//	warning           healthy: it takes traffic
//	node of an agent  the one node; its name is a setting
//	key               document of kind KeyValue; a write is a publish and a release
//	session, lock     those of internal/release/keyvalue
//	external node     persistent instance of the service "node" in the group "consul"
//
// # Ids
//
// In Consul an id is unique on its agent; clients such as Spring's default to "app-port", which is the same on every host. Here the
// agent is the same for all. So when a registration comes with an id that an instance at another address has, its own id becomes
// "id@address:port". It is shown as it was given, and an operation that names an id means the caller's own instance first.
//
// It imports instance, release and its keyvalue, access, fault and edge.
package consul
