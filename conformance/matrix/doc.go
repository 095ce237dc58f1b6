// Package matrix shows that all languages meet in one truth: what is registered by the client of one is discovered by the clients of all
// others, with its address, its metadata and its health, and is gone from all when it is deregistered.
package matrix
