//go:build !invariants && !race

package engine

// invariants says that the engine does not check its books; build with -tags invariants, or with
// the race detector, to have them checked.
const invariants = false
