package script

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// httpProgram is http METHOD URL [-H 'K: V']... [FILE]: it sends FILE as the body and writes the
// answer as it is on the wire, trailers last. Header names are as Go writes them.
func httpProgram() int {
	method, url, rest := os.Args[1], os.Args[2], os.Args[3:]
	header := http.Header{"Content-Type": {"application/json"}}
	var body []byte
	for len(rest) > 0 {
		if rest[0] == "-H" {
			k, v, _ := strings.Cut(rest[1], ":")
			header.Set(k, strings.TrimSpace(v))
			rest = rest[2:]
			continue
		}
		var err error
		if body, err = os.ReadFile(rest[0]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		rest = rest[1:]
	}
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer res.Body.Close()
	fmt.Println(res.Status)
	res.Header.Write(os.Stdout)
	fmt.Println()
	if _, err := io.Copy(os.Stdout, res.Body); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println()
	res.Trailer.Write(os.Stdout)
	return 0
}
