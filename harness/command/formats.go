package command

import (
	"fmt"

	"loadstone/engine"
	"loadstone/harness/load"
	"loadstone/harness/report"
	"loadstone/harness/verify"
	"loadstone/internal/seal"
)

// A fileFormat is a kind of files that one version of loadstone writes and another may read.
type fileFormat struct {
	files         string
	reads, writes []string
}

// fileFormats lists them, for loadstone version -v and for the notes of a release. The names are
// those that the readers compare.
func fileFormats() []fileFormat {
	memories := engine.MemoryFormats()
	results := report.Formats()
	recording := []string{fmt.Sprintf("%s %d", load.RecordingFormat, load.RecordingVersion)}
	sealed := []string{seal.Format}
	baseline := []string{"Go's benchmark format"}
	proofs := verify.Formats()
	responses := []string{"JSON"}
	return []fileFormat{
		{"memories of agents", memories, memories},
		{"sealed files (-seal-key-file)", sealed, sealed},
		{"stored responses", responses, responses},
		{"results.json", results, results[:1]},
		{"manifest.json, manifest.sig", proofs, proofs},
		{"bench.txt, baselines, .floor", baseline, baseline},
		{"recordings", recording, recording},
	}
}
