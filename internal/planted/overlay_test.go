package planted

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// TestOverlay: a bug whose code has changed, or that stands where no function is, stops the table.
func TestOverlay(t *testing.T) {
	const source = "package p\n\nvar n = 1 + 1\n\nfunc f() int {\n\treturn 2 + 2\n}\n\n" +
		"func g() { println(3 + 3); println(3 + 3) }\n"
	for _, tc := range []struct{ right, want string }{
		{"return 2 + 2", ""},
		{"return 5", "has its right snippet 0 times"},
		{"println(3 + 3)", "has its right snippet 2 times"},
		{"1 + 1", "is not in the body of a function"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		bugs, err := Read(fstest.MapFS{"a.txtar": {Data: []byte("-- b --\nIt is wrong.\n" +
			"found by: p TestF\nfile: p.go\nright:\n" + tc.right + "\nwrong:\nreturn 4 / 2\n")}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = WriteOverlay(dir, t.TempDir(), bugs)
		if tc.want == "" && err != nil ||
			tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%q: %v, want %q", tc.right, err, tc.want)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "p.go")); string(text) != source {
			t.Errorf("the source is changed: %s, %v", text, err)
		}
	}
}

// TestRead: what is incomplete is refused.
func TestRead(t *testing.T) {
	const whole = "It is wrong.\nfound by: p TestF\nfile: p.go\nright:\na\nwrong:\nb\n"
	for _, tc := range []struct{ file, text, want string }{
		{"a.txtar", "-- x --\n" + whole, ""},
		{"a.txtar", "-- x --\n" + whole + "-- x --\n" + whole, "two bugs"},
		{"a.txtar", "-- x --\n" + strings.Replace(whole, "wrong:\nb", "wrong:\na", 1), "two equal"},
		{"a.txtar", "-- x --\n" + strings.Replace(whole, "found by: p TestF\n", "", 1), "what finds it"},
		{"record.txtar", "-- x --\n" + whole, "which commit mended them"},
		{"record.txtar", "-- x --\nmended: abc\n" + whole, ""},
	} {
		_, err := Read(fstest.MapFS{tc.file: {Data: []byte(tc.text)}})
		if tc.want == "" && err != nil ||
			tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.text, err, tc.want)
		}
	}
}
