//go:build !unix

package files

// Locks says whether OS.Lock locks anything.
const Locks = false

// Lock does nothing: this system has no lock that ends with its process.
func (OS) Lock(string) (unlock func(), err error) { return func() {}, nil }
