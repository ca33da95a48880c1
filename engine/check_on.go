//go:build invariants || race

package engine

// invariants says that the engine checks its books after each step.
const invariants = true
