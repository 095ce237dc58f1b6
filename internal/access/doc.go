// Package access knows who is calling and what they may do, and keeps the record of what they did.
//
// # Parts
//
//   - [Identity]: who makes a request, carried by the context; [Identity.May] and [Require] ask what
//     they may do. An identity is live: when its token is revoked or its user is disabled, on whatever node, it
//     loses its rights where it is held, even by a stream that has been open for days.
//   - [Manager]: users, tokens, logins, the first administrator, and the upkeep of all these.
//   - [Record]: the audit record of a change, as a write that joins the change itself, so that neither is there
//     without the other.
//
// # Flow
//
// An edge turns what a client sent into a [Credential], [Manager.Authenticate] turns that into an identity, and the
// edge puts it into the context by [NewContext]. The rooms call [Require] before they do anything,
// and [Record] with what they did. Users and tokens are mirrored into memory by every node: to
// authenticate a token is a look-up and one SHA-256, and needs no quorum.
//
// # Stored form
//
//	user/<name>              JSON: grants, argon2id hash of the password, session
//	token/<id>               JSON: SHA-256 of the secret, grants or user, expiry
//	audit/<inverted id>      protobuf gantry.v1.AuditRecord; ids are inverted so that keys go from new to old
//	meta/administrator       when the first administrator was made
//
// # Imports
//
// It imports state, fault and the generated API types, and nothing else of the project.
package access
