// Command growth draws how cost grows with size: it reads the results of the benchmarks called
// Growth and writes plots and tables of them.
//
//	go run ./internal/growth benchdata/growth
//
// The folder has now.txt and, of what has been mended, before.txt, both as go test -bench prints
// them. The command writes a plot for each benchmark, NAME.svg, and the tables of README.md there.
//
// Of several results of one name the smallest counts, because what disturbs a measurement adds to
// it. The exponent of a series is the slope of its last two points, both axes being logarithmic: 0
// where cost does not depend on size, 1 where it is proportional.
package main
