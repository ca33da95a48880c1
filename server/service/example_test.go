package service_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"loadstone/server/service"
)

// A server runs until its context ends. It says on stdout where it listens, and when its model is
// loaded.
func ExampleRun() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		args := []string{"-model", "tiny", "-backend", "ref", "-addr", "127.0.0.1:0"}
		ended <- service.Run(ctx, args, stdout, io.Discard)
		stdout.Close()
	}()
	url := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, at, ok := strings.Cut(lines.Text(), "listening on "); ok {
			url = at
		}
		if strings.HasPrefix(lines.Text(), "loadstone: ready:") {
			break
		}
	}
	resp, err := http.Get(url + "/health")
	if err != nil {
		fmt.Println(err)
		return
	}
	io.Copy(os.Stdout, resp.Body)
	resp.Body.Close()
	stop()
	fmt.Println(<-ended)
	// Output:
	// {"status":"ok","pool_utilization":0}
	// <nil>
}
