package red

import (
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/signal"
)

// kinds of callee.
type calleeType uint8

const (
	toService calleeType = iota
	toDatabase
	toCache
	toQueue
	toExternal
)

var calleeTypeNames = [...]string{"service", "database", "cache", "queue", "external"}

func (t calleeType) String() string { return calleeTypeNames[t] }

// call is what the attributes of an entry or a call say about it. Its strings are the span's.
type call struct {
	method, route                                 string
	rpcSystem, rpcService, rpcMethod              string
	database, databaseNamespace                   string
	messaging, destination                        string
	peerService, serverAddress, peerAddress, host string
	url                                           string
	errorType                                     string
	httpStatus, grpcStatus                        signal.Value
	http                                          bool
}

// read takes from the attributes what both sides need. Names of the semantic conventions of 2026 count before older ones.
func (c *call) read(attributes []signal.Attribute) {
	for i := range attributes {
		a := &attributes[i]
		if n := len(a.Key); n == 0 || n >= 64 || readLengths[a.Key[0]]>>n&1 == 0 {
			continue // most keys mean nothing here, and their length and first letter tell
		}
		text := a.Value.Text
		switch a.Key {
		case "http.request.method":
			c.method, c.http = text, true
		case "http.method":
			c.http = true
			if c.method == "" {
				c.method = text
			}
		case "http.route":
			c.route, c.http = text, true
		case "http.response.status_code", "http.status_code":
			c.httpStatus, c.http = a.Value, true
		case "rpc.system.name", "rpc.system":
			c.rpcSystem = text
		case "rpc.service":
			c.rpcService = text
		case "rpc.method":
			c.rpcMethod = text
		case "rpc.grpc.status_code", "rpc.response.status_code":
			c.grpcStatus = a.Value
		case "db.system.name":
			c.database = text
		case "db.system":
			if c.database == "" {
				c.database = text
			}
		case "db.namespace":
			c.databaseNamespace = text
		case "db.name":
			if c.databaseNamespace == "" {
				c.databaseNamespace = text
			}
		case "messaging.system":
			c.messaging = text
		case "messaging.destination.name":
			c.destination = text
		case "messaging.destination":
			if c.destination == "" {
				c.destination = text
			}
		case "service.peer.name":
			c.peerService = text
		case "peer.service":
			if c.peerService == "" {
				c.peerService = text
			}
		case "server.address":
			c.serverAddress = text
		case "net.peer.name", "net.sock.peer.name", "network.peer.address", "net.peer.ip":
			if c.peerAddress == "" || a.Key == "net.peer.name" {
				c.peerAddress = text
			}
		case "url.full", "http.url":
			c.url = text
		case "http.host":
			c.host = text
		case "error.type":
			c.errorType = text
		}
	}
}

// readKeys are the keys that read knows: one that is not here is passed over.
var readKeys = [...]string{"http.request.method", "http.method", "http.route", "http.response.status_code", "http.status_code", "rpc.system.name", "rpc.system", "rpc.service",
	"rpc.method", "rpc.grpc.status_code", "rpc.response.status_code", "db.system.name", "db.system", "db.namespace", "db.name", "messaging.system", "messaging.destination.name",
	"messaging.destination", "service.peer.name", "peer.service", "server.address", "net.peer.name", "net.sock.peer.name", "network.peer.address", "net.peer.ip", "url.full",
	"http.url", "http.host", "error.type"}

// readLengths has, by first letter, a bit for each length of a key that read knows.
var readLengths = func() (lengths [256]uint64) {
	for _, key := range readKeys {
		lengths[key[0]] |= 1 << len(key)
	}
	return lengths
}()

// protocol is how the two sides speak.
func (c *call) protocol() string {
	switch {
	case c.database != "":
		return c.database
	case c.messaging != "":
		return c.messaging
	case c.rpcSystem != "":
		return c.rpcSystem
	case c.http || c.url != "":
		return "http"
	default:
		return unknown
	}
}

// address is where a call went, as far as it says.
func (c *call) address() string {
	switch {
	case c.serverAddress != "":
		return c.serverAddress
	case c.peerAddress != "":
		return c.peerAddress
	case c.url != "":
		return hostOf(c.url)
	default:
		return c.host
	}
}

// hostOf is the host and port of a URL. What is no URL has none.
func hostOf(url string) string {
	i := strings.Index(url, "://")
	if i < 0 {
		return ""
	}
	host := url[i+3:]
	if j := strings.IndexAny(host, "/?#"); j >= 0 {
		host = host[:j]
	}
	// User and password are nobody's business.
	return host[strings.LastIndexByte(host, '@')+1:]
}

// caches are the systems that keep copies: a slow or failing one hurts otherwise than a database does.
func isCache(system string) bool {
	switch system {
	case "redis", "memcached", "valkey", "keydb", "dragonfly", "hazelcast", "ehcache", "aerospike":
		return true
	}
	return false
}

// appendTarget names what a call leads to when no service answers for it.
func (c *call) appendTarget(to []byte) ([]byte, calleeType) {
	switch {
	case c.database != "":
		kind, place := toDatabase, c.databaseNamespace
		if isCache(c.database) {
			// A cache's "namespace" is a number such as Redis's 0, and says nothing.
			kind, place = toCache, ""
		}
		if place == "" {
			place = c.peerService
		}
		if place == "" {
			place = c.address()
		}
		return appendPlace(to, c.database, place), kind
	case c.messaging != "":
		place := c.destination
		if place == "" {
			place = c.address()
		}
		return appendPlace(to, c.messaging, place), toQueue
	case c.peerService != "":
		return append(to, c.peerService...), toExternal
	}
	if address := c.address(); address != "" {
		return append(to, address...), toExternal
	}
	return append(to, unknown...), toExternal
}

func appendPlace(to []byte, system, place string) []byte {
	to = append(to, system...)
	if place != "" {
		to = append(append(to, '/'), place...)
	}
	return to
}

// code is the short name of what went wrong, for counting; exception is the type of an exception that the span recorded.
func (c *call) code(exception string) string {
	switch {
	case c.errorType != "" && c.errorType != "_OTHER":
		return c.errorType
	case exception != "":
		return exception
	}
	if name := grpcCodeName(c.grpcStatus); name != "" {
		return name
	}
	switch c.httpStatus.Type {
	case signal.TypeInt:
		if n := c.httpStatus.Number; n < uint64(len(httpCodes)) {
			return httpCodes[n]
		}
	case signal.TypeString:
		if c.httpStatus.Text != "" {
			return c.httpStatus.Text
		}
	}
	return unknown
}

// httpCodes are the numbers as texts, so that counting a failure makes no garbage.
var httpCodes = func() (codes [1000]string) {
	for i := range codes {
		codes[i] = strconv.Itoa(i)
	}
	return codes
}()

func grpcCodeName(v signal.Value) string {
	switch v.Type {
	case signal.TypeString:
		return v.Text
	case signal.TypeInt:
		names := [...]string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
			"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}
		if v.Number > 0 && v.Number < uint64(len(names)) {
			return names[v.Number]
		}
	}
	return ""
}
