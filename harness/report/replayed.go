package report

import (
	"fmt"
	"strings"

	"loadstone/harness/record"
	"loadstone/harness/table"
)

// replayed says how the replay of recorded sessions differs from the recording, or "" if there is
// none.
func (r *Report) replayed() string {
	var all record.Replayed
	skipped := 0
	for i := range r.Results {
		all = all.Add(r.Results[i].Pooled.Replayed)
		skipped += r.Results[i].Skipped
	}
	var parts []string
	for _, part := range []struct {
		n    int
		done string
	}{
		{all.Cut, "cut to the server's context"}, {all.Compacted, "compacted to it"},
		{skipped, "not sent, since they exceed it"},
	} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d of %s were %s", part.n,
				table.Plural(all.Calls+skipped, "call"), part.done))
		}
	}
	if all.OtherLength > 0 {
		parts = append(parts, fmt.Sprintf("%d of %s have another length than the recorded ones",
			all.OtherLength, table.Plural(all.Known, "answer")))
	}
	if all.WasTook > 0 {
		parts = append(parts, fmt.Sprintf("answers took %.2f times as long as the recorded ones",
			float64(all.Took)/float64(all.WasTook)))
	}
	return strings.Join(parts, "; ")
}
