//go:build invariants || race

package engine

// invariants: the engine checks all its books at each step.
const invariants = true
