// Package live tells who looks at the fleet that something moved. It knows nothing of what moved: who is told asks the room that does.
//
// Rooms are told by server to call [Room.Moved] and [Room.Changed]; each person who looks holds a [Watcher] of one namespace. A namespace that nobody
// watches costs a look-up. One that is watched keeps a number for each [Kind] and the newest changes, which all of its watchers share; a watcher is
// a place in them. So a slow one costs nothing: it finds the newest numbers, and is told how many changes it missed.
//
// News are paced: a hint at most every [HintPause], changes at most every [ChangePause]; the first after a quiet time comes at once. Under a storm a watcher
// sleeps and finds everything together.
//
// Room.mu is held alone. Imports: signal/event, for the words of changes.
package live
