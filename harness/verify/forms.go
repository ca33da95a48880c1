package verify

import (
	"bytes"
	"io"

	"loadstone/harness/report"
	"loadstone/harness/report/page"
)

// A Form is a file that is made from a report and from nothing else.
type Form struct {
	Name  string
	Write func(*report.Report, io.Writer) error
}

// Forms are all there are. The same report makes the same bytes.
var Forms = []Form{
	{resultsFile, (*report.Report).WriteJSON},
	{benchFile, (*report.Report).WriteBench},
	{summaryFile, (*report.Report).WriteSummaryCSV},
	{requestsFile, (*report.Report).WriteRequestsCSV},
	{"baseline.md", (*report.Report).WriteBaseline},
	{pageFile, func(r *report.Report, w io.Writer) error { return page.Write(w, r, nil) }},
}

// The names of the files of results that are not looked at as bytes alone.
const (
	resultsFile  = "results.json"
	recordsFile  = "records.jsonl"
	samplesFile  = "samples.jsonl"
	benchFile    = "bench.txt"
	summaryFile  = "summary.csv"
	requestsFile = "requests.csv"
	pageFile     = "report.html"
)

// RawFiles are what all figures are computed from.
var RawFiles = []string{recordsFile, samplesFile}

// made is what a form of a report is.
func (f *Form) made(r *report.Report) ([]byte, error) {
	var out bytes.Buffer
	err := f.Write(r, &out)
	return out.Bytes(), err
}
