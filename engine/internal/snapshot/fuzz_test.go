package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
	"loadstone/internal/files/filestest"
)

// quiet leaves the log out until the test ends.
func quiet(t testing.TB) {
	logs := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() { slog.SetDefault(logs) })
}

// mended returns a file with the right checksum of its header and tokens and with the right size in
// its header, so that what is wrong with the rest is looked at. A file that is cut too short for
// that stays as it is.
func mended(data []byte) []byte {
	if len(data) < 8 {
		return data
	}
	n := binary.LittleEndian.Uint64(data)
	if n > uint64(len(data)-8) {
		return data
	}
	h, err := parseHeader(data[8 : 8+n])
	if err != nil || h.bounded(int(n), int64(len(data))) != nil || h.Chunks() > len(data) {
		return data
	}
	header := h.encode()
	rest := slices.Clone(data[8+n:])
	end, sums := h.preambleBytes(), 4*(1+h.Chunks())
	if end > int64(len(rest)) {
		return data
	}
	binary.LittleEndian.PutUint32(rest, checksum(header, rest[sums:end]))
	return append(header, rest...)
}

// written returns the file of a snapshot.
func written(f *testing.F, h Header) []byte {
	var b bytes.Buffer
	if err := complete(h, func(i int) byte { return byte(i) }).write(&b); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}

// FuzzMemory reads any bytes as an agent's memory: the start of a server, the lists, a restore.
// What is taken has the checksums that the file says, and the memory that it takes is in proportion
// to the file. With mend the checksum of the preamble is right.
func FuzzMemory(f *testing.F) {
	quiet(f)
	for _, h := range []Header{small.of("ann", 9), sliding.of("ann", sliding.Tokens)} {
		file := written(f, h)
		f.Add(file, true)
		f.Add(file[:len(file)-1], false)
		f.Add(bytes.Replace(file, []byte(format), []byte(family+"9"), 1), true)
		f.Add(bytes.Replace(file, []byte(`"tokens":"`), []byte(`"tokens":"-`), 1), true)
		f.Add(bytes.Replace(file, []byte(`"block_tokens":"4"`), []byte(`"block_tokens":"0"`), 1), true)
	}
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"), false)
	f.Add([]byte("loadstone-seal-1"), false)
	f.Fuzz(func(t *testing.T, data []byte, mend bool) {
		if mend {
			data = mended(data)
		}
		sim := filestest.NewSim()
		sys, ann := sim.System(), named("ann")
		put(t, sys, filepath.Join(sweepDir, FileName(ann)), data)
		for _, match := range []Header{small, sliding} {
			s := openOn(t, sys, sweepDir, match, 1<<20, 0)
			if m, err := s.Open(ann); err == nil {
				if len(m.Tokens()) > len(data) || m.header.KVBytes() > int64(len(data)) {
					t.Errorf("%d tokens and %d bytes of KV in %d bytes", len(m.Tokens()),
						m.header.KVBytes(), len(data))
				}
				for i := range m.sums {
					b, err := m.Chunk(i, make([]byte, m.header.ChunkBytes(i)))
					if err == nil && checksum(b) != m.sums[i] {
						t.Errorf("chunk %d is taken with a wrong checksum", i)
					}
				}
				m.Close()
			}
			s.Tokens(ann, "")
			s.Export(ann, "", &bytes.Buffer{}) // refused or copied
			if files, size := s.Size(); files == 0 && size != 0 {
				t.Errorf("no file of %d bytes", size)
			}
			s.Close()
		}
	})
}

// put makes a file, and the directory that it is in.
func put(t *testing.T, sys files.System, path string, data []byte) {
	t.Helper()
	err := files.MakeDir(sys, filepath.Dir(path))
	if err == nil {
		err = files.Replace(sys, path, "*.tmp", func(f files.File) error {
			_, err := f.Write(data)
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzImport takes any bytes as an export of an agent that somebody sends. It is taken whole, and
// then exported as it came, or it is refused and leaves nothing behind. An export for a principal
// is taken only with the tag of this server, which nobody can make.
func FuzzImport(f *testing.F) {
	quiet(f)
	exported := func(to string) []byte {
		s, err := OpenStore(filestest.NewSim().System(), sweepDir, small, 1<<20, 0)
		if err != nil {
			f.Fatal(err)
		}
		defer s.Close()
		var b bytes.Buffer
		if err := s.save(complete(small.of("ann", 9), func(i int) byte { return byte(i) })); err != nil {
			f.Fatal(err)
		}
		if err := s.Export(named("ann"), to, &b); err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}
	for _, to := range []string{"", "bob"} {
		file := exported(to)
		f.Add(file, true, to)
		f.Add(append(slices.Clone(file), 0), true, to)
		f.Add(file[:len(file)/2], false, to)
		f.Add(bytes.Replace(file, []byte(`"ann"`), []byte(`"%2e%2e%2fann"`), 1), true, to)
	}
	f.Fuzz(func(t *testing.T, data []byte, mend bool, principal string) {
		if mend {
			data = mended(data)
		}
		sim := filestest.NewSim()
		s := openOn(t, sim.System(), sweepDir, small, 1<<20, 0)
		defer s.Close()
		h, err := s.Import(principal, bytes.NewReader(data), alone,
			func(_ kv.Agent, take func() error) error { return take() })
		names := slices.DeleteFunc(sim.Names(sweepDir), func(name string) bool {
			return name == "lock" || name == exportKeyFile
		})
		if err != nil {
			if len(names) > 0 {
				t.Errorf("a refused import (%v) leaves %q", err, names)
			}
			return
		}
		if fmt.Sprint(names) != fmt.Sprint([]string{FileName(h.Agent)}) {
			t.Errorf("an import makes %q", names)
		}
		if principal != "" {
			t.Fatalf("an export for %q is taken that was not made here", principal)
		}
		var again bytes.Buffer
		if err := s.Export(h.Agent, "", &again); err != nil || !bytes.Equal(again.Bytes(), data) {
			t.Errorf("it is exported otherwise than it came: %v", err)
		}
	})
}
