module loadstone/harness

go 1.26.0

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0 // percentiles of a load that is too long to keep
	github.com/aclements/go-moremath v0.0.0-20210112150236-f10218a38794 // gate: the exact U distribution, as x/perf uses it
	github.com/anthropics/anthropic-sdk-go v1.84.0 // clients: the official clients against the server, in tests only
	github.com/google/go-cmp v0.7.0 // tests: differences of whole values
	github.com/openai/openai-go/v3 v3.96.0 // clients: the same
	github.com/prometheus/client_model v0.6.3 // the types that expfmt parses into
	github.com/prometheus/common v0.73.1 // expfmt: the parser of /metrics
	github.com/rogpeppe/go-internal v1.16.0 // testscript: the end-to-end scripts
	github.com/tmaxmax/go-sse v0.12.0 // tests: another reader of server-sent events, to hold ours to
	golang.org/x/net v0.61.0 // tests: reads the report as browsers do
	golang.org/x/perf v0.0.0-20260908200009-22c9c6c9d4da // benchfmt, benchproc, benchmath: the format and its statistics
	golang.org/x/sys v0.49.0 // tests: a terminal to draw on
	golang.org/x/term v0.47.0 // is the output a terminal, and how wide
	golang.org/x/tools v0.51.0 // txtar: scenario files; the parser of go-internal panics on a line "-- --"
	gotest.tools/v3 v3.5.2 // tests: assert, and poll between processes
	loadstone v0.0.0
	loadstone/metal v0.0.0
)

require (
	github.com/BurntSushi/toml v1.4.1-0.20240526193622-a339e1f7089c // indirect
	github.com/bahlo/generic-list-go v0.2.0 // indirect
	github.com/buger/jsonparser v1.1.2 // indirect
	github.com/coder/websocket v1.8.15 // indirect
	github.com/dlclark/regexp2 v1.12.0 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/go-logr/logr v1.4.2 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/invopop/jsonschema v0.14.0 // indirect
	github.com/json-iterator/go v1.1.12 // indirect
	github.com/modern-go/concurrent v0.0.0-20180306012644-bacd9c7ef1dd // indirect
	github.com/modern-go/reflect2 v1.0.2 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/nikolalohinski/gonja/v2 v2.9.1 // indirect
	github.com/pandatix/go-abnf v0.5.3 // indirect
	github.com/pb33f/ordered-map/v2 v2.3.1 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/sirupsen/logrus v1.9.3 // indirect
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1 // indirect
	github.com/tidwall/gjson v1.20.0 // indirect
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.2.1 // indirect
	github.com/tidwall/sjson v1.2.5 // indirect
	go.opentelemetry.io/auto/sdk v1.1.0 // indirect
	go.opentelemetry.io/otel v1.33.0 // indirect
	go.opentelemetry.io/otel/metric v1.33.0 // indirect
	go.opentelemetry.io/otel/trace v1.33.0 // indirect
	go.yaml.in/yaml/v4 v4.0.0-rc.2 // indirect
	golang.org/x/exp v0.0.0-20260824195058-e88cd73687aa // indirect
	golang.org/x/exp/typeparams v0.0.0-20231108232855-2478ac86f678 // indirect
	golang.org/x/mod v0.41.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
	honnef.co/go/tools v0.8.2 // indirect
)

replace (
	loadstone => ../
	loadstone/metal => ../metal
)

tool (
	golang.org/x/perf/cmd/benchstat
	honnef.co/go/tools/cmd/staticcheck
)
