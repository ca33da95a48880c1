module loadstone

go 1.26.0

toolchain go1.26.10

require (
	github.com/CycloneDX/cyclonedx-go v0.12.0 // internal/release: the bill of materials
	github.com/HdrHistogram/hdrhistogram-go v1.4.0 // harness: percentiles of a load that is too long to keep
	github.com/aclements/go-moremath v0.0.0-20210112150236-f10218a38794 // harness/gate: the exact U distribution, as x/perf uses it
	github.com/anishathalye/porcupine v1.3.1 // tests: is a history of calls linearizable
	github.com/dlclark/regexp2 v1.12.0 // engine/tokenizer: pre-tokenizers use look-ahead
	github.com/google/go-cmp v0.7.0 // tests: differences of whole values
	github.com/google/licensecheck v0.3.1 // internal/release: which licence a text is
	github.com/grafana/grafana-foundation-sdk/go v0.0.22 // tests: Grafana's own types, which read the dashboard
	github.com/johannesboyne/gofakes3 v1.2.0 // tests: a store of the S3 API in this process
	github.com/minio/minio-go/v7 v7.4.1 // internal/buckets: the S3 API, of a maker of such stores, with what other makers' differ in
	github.com/nats-io/jwt/v2 v2.8.3 // tests: credentials that a NATS server knows
	github.com/nats-io/nats-server/v2 v2.15.3 // harness/workers: the NATS server that loadstone workers starts
	github.com/nats-io/nats.go v1.55.0 // harness/workers: how a coordinator and its workers talk
	github.com/nats-io/nkeys v0.4.17 // tests: the keys of those
	github.com/nats-io/nuid v1.0.1 // harness/workers: names that nobody else has
	github.com/prometheus/common v0.73.1 // tests: expfmt, another parser of /metrics, to hold ours to
	github.com/rogpeppe/go-internal v1.16.0 // harness/script: testscript, the end-to-end scripts
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // tests: the schema of bills of materials
	github.com/tetratelabs/wazero v1.12.0 // internal/world: runs the server, compiled to WebAssembly, under a seed
	github.com/tmaxmax/go-sse v0.12.0 // tests: another reader of server-sent events, to hold ours to
	go.opentelemetry.io/otel v1.47.0 // internal/otlp: attributes of spans
	go.opentelemetry.io/otel/sdk v1.47.0 // internal/otlp: sends spans in batches
	go.opentelemetry.io/otel/trace v1.47.0 // internal/otlp: spans
	go.opentelemetry.io/proto/otlp v1.11.1 // tests: the protocol's own types, to hold our JSON to
	go.yaml.in/yaml/v3 v3.0.5 // tests: reads the files of GitHub and GitLab in harness/ci
	golang.org/x/mod v0.41.0 // internal/release, internal/rename: module paths and versions
	golang.org/x/net v0.61.0 // tests: reads the report as browsers do
	golang.org/x/perf v0.0.0-20260908200009-22c9c6c9d4da // harness: benchfmt, benchproc, benchmath: the format and its statistics
	golang.org/x/sys v0.50.0 // tests: a terminal to draw on
	golang.org/x/term v0.47.0 // harness/report: is the output a terminal, and how wide
	golang.org/x/text v0.43.0 // engine/tokenizer: Unicode normalization
	golang.org/x/tools v0.51.0 // harness/scenario: txtar; the parser of go-internal panics on a line "-- --"
	google.golang.org/protobuf v1.36.12 // tests: the same
	gotest.tools/v3 v3.5.2 // tests: assert, and poll between processes
)

require (
	github.com/BurntSushi/toml v1.6.0 // indirect
	github.com/antithesishq/antithesis-sdk-go v0.9.0-default-no-op // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/klauspost/compress v1.20.4 // indirect
	github.com/klauspost/cpuid/v2 v2.4.0 // indirect
	github.com/klauspost/crc32 v1.3.0 // indirect
	github.com/minio/crc64nvme v1.1.1 // indirect
	github.com/minio/highwayhash v1.0.4 // indirect
	github.com/minio/md5-simd v1.1.2 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/pandatix/go-abnf v0.5.3 // indirect
	github.com/philhofer/fwd v1.2.0 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/rs/xid v1.6.0 // indirect
	github.com/ryszard/goskiplist v0.0.0-20150312221310-2dfbae5fcf46 // indirect
	github.com/tinylib/msgp v1.6.4 // indirect
	github.com/zeebo/xxh3 v1.1.0 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel/log v1.47.0 // indirect
	go.opentelemetry.io/otel/metric v1.47.0 // indirect
	go.shabbyrobe.org/gocovmerge v0.0.0-20230507111327-fa4f82cfbf4d // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/exp/typeparams v0.0.0-20260811152304-ee035b5b010f // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/time v0.16.0 // indirect
	gopkg.in/ini.v1 v1.67.3 // indirect
	honnef.co/go/tools v0.8.2 // indirect
)

tool (
	golang.org/x/perf/cmd/benchstat
	honnef.co/go/tools/cmd/staticcheck
)
