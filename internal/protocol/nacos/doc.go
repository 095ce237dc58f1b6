// Package nacos speaks Nacos: the HTTP open APIs v1, v2 and the client part of v3 under /nacos/, UDP pushes for clients of 1.x, and gRPC on
// the gRPC port for clients of 2.x and 3.x (files grpc*.go). It is a translation to instance and release; what it keeps beyond a request are
// caches that can be lost, and who asked for UDP pushes in the last seconds.
//
// # Services
//
//	namespaceId "", "public" or "default"  namespace "default"; any other is the namespace of that name, which must exist: unlike
//	                                       Nacos nobody registers into a namespace that was never created, so that a misspelt one is noticed
//	groupName "DEFAULT_GROUP"              group "default"; others as they are. A serviceName may bring its group: "group@@name"
//	clusterName                            label "cluster", unless it is "DEFAULT"
//	instanceId                             the instance's id: what the client sent, or "ip#port#cluster#group@@service"
//	enabled                                status up or down; whatever is not up reads as disabled
//	healthy                                health; where a service is protected and nothing else is left, the protected ones read as healthy
//	weight                                 weight; an operator's weight if there is one
//	ephemeral                              not persistent. Persistent instances get a TCP check of their port, unless their cluster's checker is NONE
//	metadata                               metadata; version, zone and lane are labels too
//	preserved.heart.beat.timeout           ttl (default 15s), preserved.ip.delete.timeout removal (30s), both brought into the registry's
//	                                       bounds; preserved.heart.beat.interval (5s) is answered to the beats
//	protectThreshold                       the healthy share at which Nacos protects; Gantry's is the lost share, so 1 minus it; 0 is off
//
// Every instance of every protocol is read back in these words. Ids that the client chose are found by address, port and cluster, which is how
// Nacos names instances.
//
// # Configuration
//
// dataId, group and tenant name a document of kind Config: "dataId" in DEFAULT_GROUP, otherwise "group/dataId". Publishing releases in the same
// step. A type is the format (html is text); without one the name's extension says it, and what does not parse in it is stored as text. A document
// that is sensitive stays so. Publishing with betaIps stages the version for those addresses; stopping the beta aborts that; publishing the same
// content for all promotes it. The md5 is that of the content which the caller's address gets. With casMd5 the content for all is compared, and the change is
// made on the very revision that was compared, so that it is a true compare-and-set; as in Nacos a document that is not there is created.
// desc, appName, config_tags, src_user and encryptedDataKey are lines of the version's message (see message.go).
//
// # Rights
//
// Registering, beating and deregistering ask for Serve, reading for View or Serve, publishing and deleting for Publish and Release, what operators do for
// Operate, namespaces for Administer. A token is the accessToken parameter or header, or the Authorization header.
//
// # Imports
//
// instance, release, access, fault, edge and the generated API.
package nacos
