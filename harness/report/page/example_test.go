package page_test

import (
	"bytes"
	"fmt"
	"strings"

	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/report/page"
)

// The page of a report is one file that loads nothing.
func ExampleWrite() {
	chat := load.Load{Name: "chat", Concurrency: 1, Requests: 1}.Filled()
	meta := report.Meta{System: report.System{Name: "server", Model: "example"},
		Workload: report.NewWorkload(&chat, nil)}
	r := report.New(meta, []load.Load{chat}, []record.Run{{Scenario: "chat",
		Records: []record.Record{{Outcome: record.OK}}}})
	var html bytes.Buffer
	err := page.Write(&html, r, nil)
	fmt.Println(strings.HasPrefix(html.String(), "<!doctype html>"), err)
	// Output: true <nil>
}
