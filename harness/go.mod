module loadstone/harness

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/rogpeppe/go-internal v1.16.0
	golang.org/x/perf v0.0.0-20260908200009-22c9c6c9d4da
	golang.org/x/term v0.47.0
	gotest.tools/v3 v3.5.2
	github.com/prometheus/common v0.73.1
	loadstone v0.0.0
	loadstone/metal v0.0.0
)

replace (
	loadstone => ../
	loadstone/metal => ../metal
)
