package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loadstone/engine/internal/kv"
)

// TestFormats: of the memory files of every format so far, made by the commits that wrote them (see
// testdata/formats/make), this version reads those that it says it reads, and refuses the others by
// the format's name, with a way out. Such a file is set aside and costs nothing else.
func TestFormats(t *testing.T) {
	for n := 1; n <= 5; n++ {
		name := fmt.Sprint("loadstone memory ", n)
		t.Run(name, func(t *testing.T) {
			file, err := os.ReadFile(fmt.Sprintf("testdata/formats/%d.memory", n))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(file, []byte(`"format":"`+name+`"`)) {
				t.Fatalf("the file is not of this format: %.300q", file)
			}
			h, _, err := readHeader(bytes.NewReader(file), int64(len(file)))
			if slices.Contains(Formats(), name) {
				if err != nil {
					t.Fatal(err)
				}
				readsFormat(t, h, file)
				return
			}
			if !errors.Is(err, ErrOtherModel) || !strings.Contains(err.Error(), `"`+name+`"`) ||
				!strings.Contains(err.Error(), "next request") {
				t.Errorf("refused with %v", err)
			}
			refusesFormat(t, file)
		})
	}
}

// readsFormat has a store find a file and verify all of it.
func readsFormat(t *testing.T, h Header, file []byte) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName(h.Agent)), file, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, Header{Fingerprint: h.Fingerprint, Shape: h.Shape}, 1<<20, 0)
	defer s.Close()
	m, err := s.Open(h.Agent)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if h.Agent.Name != "ada" || len(m.Tokens()) != h.Tokens || h.Tokens < 5 {
		t.Errorf("%d tokens of %q", len(m.Tokens()), h.Agent.Name)
	}
	for i := range m.sums {
		if _, err := m.Chunk(i, make([]byte, m.header.ChunkBytes(i))); err != nil {
			t.Error(err)
		}
	}
}

// refusesFormat has a store start with a file, under the name that all formats so far gave it.
func refusesFormat(t *testing.T, file []byte) {
	dir, ada := t.TempDir(), kv.Agent{Name: "ada"}
	if err := os.WriteFile(filepath.Join(dir, FileName(ada)), file, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, small, 1<<20, 0)
	defer s.Close()
	if _, found := s.Find(ada); found {
		t.Error("it is in the index")
	}
	bad, _ := filepath.Glob(filepath.Join(dir, "*.model_changed.bad"))
	if len(bad) != 1 {
		t.Errorf("it is not set aside: %v", bad)
	}
	if err := s.save(complete(small.of("ada", 9), func(int) byte { return 1 })); err != nil {
		t.Error(err)
	}
	if x, found := s.Find(ada); !found || x.Header.Tokens != 9 {
		t.Errorf("the agent's next memory: %v, %v", x, found)
	}
}
