//go:build !unix

package files

// Lock does nothing: this system has no lock that ends with its process.
func (OS) Lock(string) (unlock func(), err error) { return func() {}, nil }
