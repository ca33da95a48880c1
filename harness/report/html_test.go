package report

import (
	"bytes"
	"os"
	"testing"
)

func TestPreview(t *testing.T) {
	var b bytes.Buffer
	if err := fixed().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	os.WriteFile("/tmp/REPORT/report.html", b.Bytes(), 0o600)
	b.Reset()
	fixed().WriteBaseline(&b)
	os.WriteFile("/tmp/REPORT/baseline.md", b.Bytes(), 0o600)
	b.Reset()
	fixed().WriteBench(&b)
	os.WriteFile("/tmp/REPORT/bench.txt", b.Bytes(), 0o600)
}
