// Package apollo serves configuration to clients of Apollo (apollo-client, agollo and others): what they read of its meta service and
// its config service.
//
// # Flow
//
// A client asks /services/config where the config service is, and is told the address that it asked at. It reads /configs/... of each
// of its namespaces, or /configfiles/... , and then asks /notifications/v2 again and again, which is held until
// something in force changes. A request becomes a read of a few documents by [release.Releaser.Resolve]; a held one is a
// [release.Watcher] that is closed when the request ends. Nothing is kept beyond a request.
//
// # Words
//
//	Apollo                             Gantry
//	environment (DEV, PRO)             namespace; the address ends in /ns/<namespace>, without that it is "default"
//	namespace of an application        document of kind Config, named <appId>/<namespace>
//	cluster other than "default"       a part of the name: <appId>/<cluster>/<namespace>
//	public namespace                   document public/<namespace>, or public/<cluster>/<namespace>
//	item                               a setting of the document
//	release, release key               the version in force and what names it
//	gray release                       rollout of the document to a cohort: addresses are the client's, its label is the label "label"
//	notification id                    the revision that last changed what is in force
//	access key                         document of kind AccessKey, named by the application's id
//
// A namespace without extension is of the type properties: its document is called <namespace>.properties. It may be written as
// properties, YAML, JSON or TOML (its format says); the settings are flattened. For the types json, yml, yaml, xml and txt the
// extension is part of the namespace's name, and the one item "content" is the text.
//
// A cluster that has no release falls back to the data center as a cluster, and then to "default". A namespace other than
// "application" is the application's own laid over the public one of the same name.
//
// # Notifications
//
// A client is told that a namespace has news when its id is below the highest of the namespace's documents. That is a
// matter of the document and not of the client, as what clients send here (agollo no address, none a label) is less than what
// decides what they get. An id above comes from another server or from before a restore: it is held until something changes, and answered
// with the right one at the latest at the end of the wait. Ids survive restarts and are the same on all nodes.
//
// # Who may
//
// A request with a right signature by an access key may serve in the namespace, for the application in its path; that it reads nothing
// else is seen to here, since all names are made of that application's id. Where an application has an enabled key of the mode "filter",
// requests for it must be signed, even when authentication is off, or come from somebody with a token or password of their own. Everybody else
// needs the right to view or serve. /services/ is open: it says nothing that the caller does not know.
//
// A wrong signature costs one HMAC and is counted; it locks nobody out. A signature is good for a minute around its time.
//
// # Imports
//
// release, policy (what an AccessKey is), policy/source, access, fault, edge.
package apollo
