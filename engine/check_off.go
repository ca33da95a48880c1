//go:build !invariants && !race

package engine

// invariants are off; build with -tags invariants, or with the race detector, to have them checked.
const invariants = false
