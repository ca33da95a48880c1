package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/table"
)

// checkRecords holds the raw files to their sums in results.json, to their form, and each record to
// what must be true of it.
func (v *verification) checkRecords() {
	if p := v.report.Proof; p != nil {
		for _, f := range p.Raw {
			if Sum(f.Name, v.files[f.Name]) == f {
				v.remade[f.Name] = true
			} else {
				v.differs(f.Name, "", "it is not the file that %s is made of: its SHA-256 "+
					"is another", resultsFile)
			}
		}
		if len(p.Raw) == 0 {
			v.differs(resultsFile, "proof.raw_files", "it does not say what it is made of")
		}
	}
	if !v.loose {
		canonical(v, recordsFile, v.records)
		canonical(v, samplesFile, v.samples)
	}
	answers, sealed := 0, 0
	for i := range v.records {
		r := &v.records[i]
		if r.AnswerDigest != "" {
			answers++
		}
		if r.Said() {
			if sealed++; !r.Sealed() {
				v.differs(recordsFile, place(i),
					"the answer of agent %s in turn %d has another digest than its text",
					r.Agent, r.Turn)
			}
		}
	}
	v.check("answers", answers, "%s; texts kept of %d", table.Plural(answers, "digest"), sealed)
	v.checkViolations()
}

func place(i int) string { return fmt.Sprintf("record %d", i+1) }

// canonical holds a file of JSON lines to how values are written.
func canonical[T any](v *verification, file string, values []T) {
	text := v.files[file]
	for i := range values {
		var line bytes.Buffer
		if err := json.NewEncoder(&line).Encode(&values[i]); err != nil {
			v.differs(file, place(i), "%v", err)
			return
		}
		if !bytes.HasPrefix(text, line.Bytes()) {
			own, _, _ := bytes.Cut(text, []byte("\n"))
			want := bytes.TrimSuffix(line.Bytes(), []byte("\n"))
			v.differs(file, fmt.Sprintf("line %d", i+1), "%s, which is written as %s", excerpt(own, want),
				excerpt(want, own))
			return
		}
		text = text[line.Len():]
	}
	if len(text) > 0 {
		v.differs(file, fmt.Sprintf("line %d", len(values)+1),
			"%d bytes after the last record", len(text))
	}
}

// checkViolations holds each record by itself to what must be true of it: what is found now must
// have been found then.
func (v *verification) checkViolations() {
	listed := map[string]bool{}
	for _, one := range v.report.Violations {
		listed[prefix(one)] = true
	}
	counts := map[record.CheckName]int{}
	for i := range v.records {
		r := v.records[i]
		if r.Answer == "" && len(r.Chunks) == r.OutputTokens+1 {
			continue // whether a cut character explains it only the text says
		}
		for _, found := range record.Check([]record.Record{r}, -1) {
			if found.Check != record.CheckTimes && found.Check != record.CheckTokens {
				continue
			}
			counts[found.Check]++
			if counts[found.Check] <= 100 && !listed[prefix(found.String())] {
				v.differs(recordsFile, place(i), "%s, and results.json has no such violation", found)
			}
		}
	}
	v.check("records", len(v.records), "each has one outcome, its times in order and its tokens "+
		"within bounds; %s, as the results say", table.Plural(len(v.report.Violations), "violation"))
}

// prefix is what tells a violation's record: its check, agent and turn.
func prefix(violation string) string {
	at := 0
	for range 2 {
		i := bytes.Index([]byte(violation[at:]), []byte(": "))
		if i < 0 {
			return violation
		}
		at += i + 2
	}
	return violation[:at]
}

// checkRuns holds what results.json says of each run to its records and samples, as far as that is
// not made of them anyway: how long it was under load, its peaks, and what the client counted.
func (v *verification) checkRuns() {
	runs, ledgers, pools, lag := 0, 0, 0, time.Duration(-1)
	for i := range v.report.Results {
		r := &v.report.Results[i]
		for k := range r.Runs {
			runs++
			at := fmt.Sprintf("%s, run %d", r.Name(), k+1)
			v.checkRun(r, k, at)
			if w := r.Runs[k].Window; w != nil {
				ledgers++
				for _, found := range w.Check(v.records) {
					v.differs(recordsFile, at, "%s", found.About)
				}
			}
			if held := r.Runs[k].Held; held != nil {
				pools++
				for _, left := range held.Left() {
					v.differs(resultsFile, at, "the server held more after the run than before: %s", left)
				}
			}
		}
		if v.report.Proof != nil { // a report of records alone, or of an earlier version, may know less
			v.checkAgain(r)
		}
		if d, name := r.Pooled.Lag.Highest(); name != "" {
			lag = max(lag, d)
		}
	}
	v.check("conservation", runs, "%s: %s beside the client's own count of requests; the pool was "+
		"given back in %d", table.Plural(runs, "run"), table.Plural(ledgers, "ledger"), pools)
	if lag >= 0 {
		v.check("client", 1, "its lag was at most %v in every scenario's highest percentile",
			lag.Round(time.Microsecond))
	}
}

// indexes are the indexes of a result's runs, in order.
func indexes(r *report.Result) []int {
	var all []int
	for i := range r.Records {
		if !slices.Contains(all, r.Records[i].Run) {
			all = append(all, r.Records[i].Run)
		}
	}
	slices.Sort(all)
	return all
}

func (v *verification) checkRun(r *report.Result, k int, at string) {
	index := indexes(r)[k]
	own := &r.Runs[k]
	var measured, all []record.Record
	for i := range v.records {
		if q := &v.records[i]; q.Scenario == r.Pooled.Scenario && q.Level == r.Level && q.Run == index {
			all = append(all, *q)
			if !q.Warmup {
				measured = append(measured, *q)
			}
		}
	}
	if rounds, whole := roundsOf(measured), record.Span(measured); own.Elapsed != rounds &&
		own.Elapsed != whole && own.Elapsed != roundsOf(all) {
		v.differs(resultsFile, at, "elapsed_ns is %d, and the records are of %d", own.Elapsed, rounds)
	}
	if v.files[samplesFile] != nil {
		peak := record.PeakPool(slices.DeleteFunc(slices.Clone(r.Samples),
			func(s record.Sample) bool { return s.Run != index }))
		if peak != own.PeakPool {
			v.differs(resultsFile, at, "peak-pool-ratio is %g, and the samples have %g", own.PeakPool, peak)
		}
	}
	if c, w := own.Counters, own.Window; c != nil && w != nil {
		v.checkAccount(c, within(all, w), at)
	}
}

// roundsOf is the time under load of records by their rounds.
func roundsOf(records []record.Record) (sum time.Duration) {
	byRep := map[int][]record.Record{}
	for _, r := range records {
		if r.Intent != record.IntentAgain {
			byRep[r.Rep] = append(byRep[r.Rep], r)
		}
	}
	for _, own := range byRep {
		sum += record.Span(own)
	}
	return sum
}

func within(records []record.Record, w *record.Window) []record.Record {
	return slices.DeleteFunc(slices.Clone(records), func(r record.Record) bool {
		return r.Sent < w.From || r.Sent > w.To
	})
}

// checkAccount holds the client's account of a run to its records. Tokens that a tokenizer has
// voided afterwards are in the account and not in the records.
func (v *verification) checkAccount(c *record.Counters, records []record.Record, at string) {
	recounted := slices.ContainsFunc(records, func(r record.Record) bool { return r.Claimed > 0 })
	want := record.ClientAccount(records, nil)
	for _, name := range []record.Count{record.AnsweredRequests, record.PromptTokens,
		record.CachedTokens,
		record.OutputTokens, record.InexactAnswers, record.UnfinishedRequests} {
		if recounted && (name == record.OutputTokens || name == record.InexactAnswers) {
			continue
		}
		if got, ok := c.Client[name]; ok && got != want[name] {
			v.differs(resultsFile, at, "the client's count of %s is %g, and the records have %g", name, got,
				want[name])
		}
	}
}

// checkAgain counts again what was asked again, and whose answer differs by its digest.
func (v *verification) checkAgain(r *report.Result) {
	type turn struct {
		run, turn int
		agent     string
	}
	said := map[turn][]record.Digest{}
	compared, differ, known := 0, 0, true
	for i := range r.Records {
		q := &r.Records[i]
		key := turn{q.Run, q.Turn, q.Agent}
		said[key] = append(said[key], q.AnswerDigest)
	}
	for i := range r.Warmup {
		q := &r.Warmup[i]
		key := turn{q.Run, q.Turn, q.Agent}
		if q.Intent != record.IntentAgain {
			said[key] = append(said[key], q.AnswerDigest)
		}
	}
	for i := range r.Warmup {
		q := &r.Warmup[i]
		if q.Intent != record.IntentAgain || !q.Ended() {
			continue
		}
		compared++
		known = known && q.AskedDigest != ""
		if !slices.Contains(said[turn{q.Run, q.Turn, q.Agent}], q.AnswerDigest) {
			differ++
		}
	}
	if compared != r.Again.Compared {
		v.differs(resultsFile, r.Name(), "again.compared is %d, and %s of questions asked again",
			r.Again.Compared, table.Plural(compared, "record"))
	}
	if known && differ != r.Again.Differ {
		v.differs(resultsFile, r.Name(), "again.differ is %d, and %d digests differ",
			r.Again.Differ, differ)
	}
}
