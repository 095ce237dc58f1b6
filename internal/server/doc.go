// Package server wires the parts into a running server: settings, state, nouns, protocols, listeners, and their end.
//
// Start goes from the floor up and Shutdown from the roof down. What joins two of the nouns, which do not know each other, is
// joined here. It may import everything below it and nothing imports it but the command.
package server
