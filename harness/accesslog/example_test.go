package accesslog_test

import (
	"fmt"
	"strings"

	"loadstone/harness/accesslog"
)

func ExampleRead() {
	log, err := accesslog.Read(strings.NewReader(`listening on http://127.0.0.1:8080
REQUEST: POST /v1/chat/completions STATUS: 200 LATENCY: 12.34ms
REQUEST: POST /v1/chat/completions STATUS: 200 LATENCY: 15.1ms
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for route, times := range log.Routes {
		fmt.Println(route, times)
	}
	fmt.Println(log.Skipped, "other line")
	// Output:
	// POST /v1/chat/completions 200 [12.34ms 15.1ms]
	// 1 other line
}
