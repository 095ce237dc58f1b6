// Package eureka speaks Netflix's Eureka (https://github.com/Netflix/eureka/wiki/Eureka-REST-operations) under /eureka/ and
// /eureka/v2/, so that Spring Cloud Netflix, Netflix's own client and the clients of other languages register and discover here by
// changing an address. It is a translation to [instance.Registry]; what it keeps between requests are encoded answers, which follow from
// the registry.
//
// # Where things are
//
//	handler.go    paths, credentials, errors, bodies
//	operate.go    register, renew, cancel, status, metadata
//	read.go       one application or instance, and those of an address
//	replicate.go  batches of another Eureka server
//	name.go       applications and services
//	info.go       an instance in Eureka's words, and as a registration; json.go and xml.go read and write it
//	data.go       what Eureka alone knows of an instance, in bytes
//	show.go       an instance of any language in Eureka's words
//	catalogue.go  the applications of a namespace as of one moment; delta.go what changed lately; document.go answers, also gzipped
//
// # Applications and services
//
// Eureka's names of applications ignore case, and Spring sends them in upper case, while the address that clients look up (vipAddress) has
// the name as it was written. So a registration belongs to the service that its vipAddress names when that is the application's
// name but for case, and otherwise to the application's name in lower case, always in group "default". To Eureka's readers an
// application is all services whose names are the same but for case; of two instances with one id the one of the first service is shown. A
// service NAME of another group GROUP is the application GROUP@@NAME, with that as its vipAddress too, as Nacos writes grouped names: it is
// seen, and cannot be taken for another one.
//
// The namespace is the one before the path: http://host:8848/ns/staging/eureka/.
//
// # Instances
//
//	instanceId             id; the data centre's id or the host name when it is missing
//	ipAddr                 address
//	port, securePort       port: the first that is enabled; an enabled securePort is also the port named "secure"
//	metadata               metadata, and labels as [edge.Labels] says
//	leaseInfo              ttl, from 1 s to 1 h; an instance is gone with its ttl, as in Eureka
//	everything else        [instance.Instance.ProtocolData], so that readers get what was registered
//
// Instances of other languages get a host name, addresses and a lease that say the same.
//
//	UP, STARTING, DOWN     status up, starting, down
//	OUT_OF_SERVICE         draining
//	UNKNOWN                down, remembered as UNKNOWN
//
// An instance that is unhealthy in any language is DOWN. One that is kept by protection stays as it says, as under Eureka's
// self-preservation. PUT .../status is an operator's override, with one difference to Eureka: UP takes the override off, unless the instance itself says
// that it is out of service. It could otherwise not take itself out of traffic any more, since an override is stronger than what an instance says.
//
// The client's lastDirtyTimestamp is kept with the registration. A renewal with a newer one, or of an unknown instance, is answered with
// 404, upon which clients register again; such an answer has no body, since Netflix's client would read an instance from it. A client's own registration always counts; one that another server replicates does not replace
// what is newer here.
//
// # Delta
//
// apps/delta has the net effect of the last three minutes, with the hash of the applications as of the same moment; what a client holds after applying
// it has that hash, or the client reads everything. When the node does not know what happened in the last three minutes, as after a start, the
// answer holds everything: whoever applies it has all that there is, and if it holds more, the hash tells it.
//
// # Replication
//
// What a Eureka server replicates is taken as if its clients had sent it. Nothing is ever sent on to Eureka servers, so there are no loops.
//
// # Costs
//
// An application is encoded and compressed once after each change of it; documents are put together from these pieces, also the compressed ones, once for
// all who ask. Putting together takes at most about a tenth of the time: a namespace that changes all the time is shown at most as late as ten times what
// that takes. Renewals find their instance by its service and id, without a list.
//
// It imports access, instance, fault, internal/protocol/edge and the generated API.
package eureka
