package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"loadstone/internal/git/gittest"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/mod/modfile"
)

func wants(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("error %v, want one with %q", err, words)
	}
}

// The bytes of an archive depend on its files alone: not on their order, their times or their
// owner.
func TestArchive(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	dir := t.TempDir()
	lib := filepath.Join(dir, "lib")
	if err := os.WriteFile(lib, []byte("elf"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := []file{
		{name: "loadstone", mode: 0o755, data: []byte("program")},
		{name: "lib/mlx/lib/libmlx.so", mode: 0o755, path: lib},
		{name: "LICENSE", mode: 0o644, data: []byte("MIT")},
	}
	write := func(name string) []byte {
		path := filepath.Join(dir, name)
		if err := writeArchive(path, "loadstone-v1.2.3", files, at); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	first := write("a.tar.gz")
	slices.Reverse(files)
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(lib, later, later); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, write("b.tar.gz")) {
		t.Error("the same files in another order, touched: another archive")
	}

	var got []string
	readArchive(t, bytes.NewReader(first), func(h *tar.Header, body []byte) {
		if !h.ModTime.Equal(at) || h.Uid != 0 || h.Gid != 0 || h.Uname+h.Gname != "" {
			t.Errorf("%s: %v, %d:%d %q", h.Name, h.ModTime, h.Uid, h.Gid, h.Uname)
		}
		got = append(got, h.FileInfo().Mode().String()+" "+h.Name+" "+string(body))
	})
	want := []string{"drwxr-xr-x loadstone-v1.2.3/ ", "drwxr-xr-x loadstone-v1.2.3/lib/ ",
		"drwxr-xr-x loadstone-v1.2.3/lib/mlx/ ", "drwxr-xr-x loadstone-v1.2.3/lib/mlx/lib/ ",
		"-rw-r--r-- loadstone-v1.2.3/LICENSE MIT",
		"-rwxr-xr-x loadstone-v1.2.3/lib/mlx/lib/libmlx.so elf",
		"-rwxr-xr-x loadstone-v1.2.3/loadstone program"}
	if !slices.Equal(got, want) {
		t.Errorf("the archive has\n%s", strings.Join(got, "\n"))
	}
}

func readArchive(t *testing.T, r io.Reader, each func(*tar.Header, []byte)) {
	t.Helper()
	zip, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		each(h, body)
	}
}

// A licence is named after its text. One that is not known stops the release, and so does one that
// is known and not allowed, and a component without any.
func TestLicences(t *testing.T) {
	read := func(path string) text {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text{filepath.Base(path), body}
	}
	if ids, err := licencesOf(read("../../LICENSE")); err != nil || !slices.Equal(ids, []string{"MIT"}) {
		t.Errorf("our own licence: %v, %v", ids, err)
	}
	for name, want := range map[string]string{"pocketfft.txt": "BSD-3-Clause", "fmt.txt": "MIT",
		"json.txt": "MIT", "gguflib.txt": "MIT"} {
		ids, err := licencesOf(read("licences/" + name))
		if err != nil || !slices.Equal(ids, []string{want}) {
			t.Errorf("%s: %v, %v", name, ids, err)
		}
	}
	_, err := licencesOf(text{"LICENSE", []byte(strings.Repeat("You may look at this and not use it. ", 40))})
	wants(t, err, "LICENSE: 0 % of it is a licence that is known")
	_, err = licencesOf(read("licences/gcc.txt"))
	wants(t, err, "not among those of internal/release")

	c := component{name: "example.com/m", version: "v1.0.0"}
	wants(t, c.classify(), "example.com/m v1.0.0 has no licence")
	c.texts = []text{{"LICENSE", read("../../LICENSE").body}, {"sub/LICENSE", []byte("All rights reserved.")}}
	wants(t, c.classify(), "sub/LICENSE")
}

// Every module that the program of any target is linked of is stated with a licence that is known.
// One that has none stops the release, and so does one that the program names and the list lacks.
func TestLinkedModules(t *testing.T) {
	s := &source{root: "../.."}
	for _, target := range targets() {
		packages, err := s.linkedPackages(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		components, err := modulesOf(packages)
		if err != nil {
			t.Errorf("%s: %v", target.name, err)
			continue
		}
		text := string(notices(components))
		for _, p := range packages {
			if m := p.Module; m != nil && !m.Main && (!strings.Contains(text, "\n  "+m.Path+" "+m.Version+": ") ||
				!strings.Contains(text, "\n"+m.Path+": ")) {
				t.Errorf("%s: NOTICES.txt lacks %s or its licence", target.name, m.Path)
			}
		}
		var deps []*debug.Module
		for _, c := range components {
			deps = append(deps, &debug.Module{Path: c.name, Version: c.version})
		}
		if err := sameModules(&debug.BuildInfo{Deps: deps}, components); err != nil {
			t.Error(err)
		}
		more := &debug.BuildInfo{Deps: append(deps, &debug.Module{Path: "example.com/new", Version: "v1.0.0"})}
		wants(t, sameModules(more, components), "example.com/new v1.0.0")

		dir := t.TempDir()
		bare := linkedPackage{Dir: filepath.Join(dir, "p"),
			Module: &linkedModule{Path: "example.com/bare", Version: "v1.0.0", Dir: dir}}
		if err := os.Mkdir(bare.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err = modulesOf(append(packages, bare))
		wants(t, err, "example.com/bare v1.0.0 has no licence")
	}
}

// A release is made with the Go that go.mod names where this machine's is older, and with this
// machine's where the other cannot be had.
func TestToolchain(t *testing.T) {
	own, err := goVersion(t.Context(), "", "local")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOMODCACHE", t.TempDir()) // nothing has been downloaded
	for _, c := range []struct{ line, note string }{
		{"", ""}, {"toolchain " + own, ""}, {"toolchain go1.21.3", ""},
		{"toolchain go1.99.1", "go1.99.1, which go.mod names, cannot be had"},
	} {
		dir := t.TempDir()
		mod := "module example.com/m\n\ngo 1.21.0\n\n" + c.line + "\n"
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := chooseToolchain(t.Context(), dir)
		if err != nil || got.name != "local" || !strings.HasPrefix(got.note, c.note) ||
			(got.note == "") != (c.note == "") {
			t.Errorf("%q: %+v, %v", c.line, got, err)
		}
	}
}

// The workspace names the same Go as the module.
func TestToolchainOfWorkspace(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	mod, err := modfile.Parse("go.mod", read("go.mod"), nil)
	if err != nil {
		t.Fatal(err)
	}
	work, err := modfile.ParseWork("go.work", read("go.work"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if mod.Toolchain == nil || work.Toolchain == nil || mod.Toolchain.Name != work.Toolchain.Name {
		t.Errorf("go.mod names %+v, go.work %+v", mod.Toolchain, work.Toolchain)
	}
}

// A release is made of a commit, with a version.
func TestSource(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "")
	ctx := t.Context()
	t.Chdir(t.TempDir())
	_, err := readSource(ctx, "v1.2.3", false)
	wants(t, err, "a release is made of a git commit")
	r := gittest.New(t)
	t.Chdir(r.Dir)
	r.Commit("first", "go.mod", "module example.com/you/loadstone\n")
	s, err := readSource(ctx, "v1.2.3", false)
	if err != nil || s.module != "example.com/you/loadstone" || s.time.Unix() != 1_700_000_001 ||
		s.revision() != s.commit[:12] {
		t.Errorf("%+v, %v", s, err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1600000000")
	if s, err = readSource(ctx, "v1.2.3", false); err != nil || s.time.Unix() != 1_600_000_000 {
		t.Errorf("%+v, %v", s, err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	_, err = readSource(ctx, "v1.2.3", false)
	wants(t, err, "SOURCE_DATE_EPOCH=yesterday")
	t.Setenv("SOURCE_DATE_EPOCH", "")
	for _, version := range []string{"1.2.3", "v1.2", "latest", "v1.2.3+meta", ""} {
		_, err := readSource(ctx, version, false)
		wants(t, err, "is not a version")
	}
	if err := os.WriteFile("new.go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = readSource(ctx, "v1.2.3", false)
	wants(t, err, "new.go")
	if s, err = readSource(ctx, "v1.2.3", true); err != nil || s.revision() != s.commit[:12]+"+changes" {
		t.Errorf("%+v, %v", s, err)
	}
}

// The bill of materials is what CycloneDX's own schema allows, and the schema does refuse others.
func TestBillOfMaterials(t *testing.T) {
	program := filepath.Join(t.TempDir(), "loadstone")
	if err := os.WriteFile(program, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &source{version: "v1.2.3", module: "loadstone", commit: strings.Repeat("ab", 20),
		time: time.Unix(1_700_000_000, 0).UTC()}
	components := []component{{name: "Go", version: "go1.26.0", licences: []string{"BSD-3-Clause"}}}
	for _, l := range libraries() { // every licence that a component may have
		components = append(components, component{name: l.name, licences: l.licences})
	}
	lib := file{name: "lib/libmlx.so", path: program}
	components[1].files = []string{lib.name}
	bom, err := s.billOfMaterials(targets()[3], program, components, []file{lib})
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.billOfMaterials(targets()[3], program, components, []file{lib})
	if err != nil || !bytes.Equal(bom, again) {
		t.Errorf("the same twice differs, %v", err)
	}
	schema := cycloneDX(t)
	if err := validate(schema, bom); err != nil {
		t.Errorf("%v\n%s", err, bom)
	}
	for from, to := range map[string]string{`"MIT"`: `"MITT"`, `"application"`: `"programme"`,
		`"specVersion"`: `"spec"`, "2023-11-14T22:13:20Z": "last Tuesday"} {
		wrong := bytes.Replace(bom, []byte(from), []byte(to), 1)
		if bytes.Equal(wrong, bom) || validate(schema, wrong) == nil {
			t.Errorf("the schema allows %s in place of %s", to, from)
		}
	}
}

// cycloneDX compiles the schema that comes with the library.
func cycloneDX(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir, err := output(t.Context(), "", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go")
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schemax.json"} {
		f, err := os.Open(filepath.Join(dir, "schema", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		doc, err := jsonschema.UnmarshalJSON(f)
		if err != nil {
			t.Fatal(err)
		}
		id, _ := doc.(map[string]any)["$id"].(string)
		if err := c.AddResource(id, doc); err != nil {
			t.Fatalf("%s as %s: %v", name, id, err)
		}
	}
	s, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(s *jsonschema.Schema, data []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

// The libraries of MLX are those of the table, each with its licence; one more stops the release.
func TestLibraries(t *testing.T) {
	dir := t.TempDir()
	write := func(name, body string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := nativeLibraries(dir)
	wants(t, err, "go run ./metal/setup")
	type entry struct {
		Name string `json:"name"`
		Purl string `json:"purl"`
	}
	var contents struct {
		Components []entry `json:"components"`
	}
	for _, l := range libraries() {
		if l.pattern != "" {
			write(strings.Replace(l.pattern, "*", "0123.so.1", 1), l.name)
		}
		if l.debian != "" {
			contents.Components = append(contents.Components,
				entry{l.debian, "pkg:deb/ubuntu/" + l.debian + "@12.3.0"})
		}
	}
	data, err := json.Marshal(contents)
	if err != nil {
		t.Fatal(err)
	}
	write("mlx_cpu-0.32.4.dist-info/sboms/auditwheel.cdx.json", string(data))
	write("mlx_cpu-0.32.4.dist-info/licenses/LICENSE", "MIT License")
	write("scipy_openblas32-0.3.34.dist-info/licenses/LICENSE.txt", "BSD")
	components, files, err := nativeLibraries(dir)
	if err != nil || len(components) != len(libraries()) || len(files) != 6 {
		t.Fatalf("%d components, %d files, %v", len(components), len(files), err)
	}
	text := string(notices(components))
	for _, want := range []string{"mlx-cpu 0.32.4: MIT\n", "lib/mlx/lib/libmlx.so", "liblapack3 12.3.0: BSD",
		"libquadmath0 12.3.0: LGPL-2.1-or-later", "source package gcc-12", "Niels Lohmann"} {
		if !strings.Contains(text, want) {
			t.Errorf("NOTICES.txt has no %q", want)
		}
	}
	write("mlx_cpu.libs/libnew-0.so", "")
	_, _, err = nativeLibraries(dir)
	wants(t, err, "libnew-0.so is in no row of libraries")

	// The wheels that are installed here are as the table has them.
	if _, err := os.Stat("../../metal/.mlx/mlx"); err == nil {
		if _, _, err := nativeLibraries("../../metal/.mlx"); err != nil {
			t.Error(err)
		}
	}
}

func TestChangesOf(t *testing.T) {
	const log = "# Changes\n\n## Unreleased\n\n- new\n\n## v1.2.3 (2026-11-29)\n\n- fixed\n\n## v1.2.2\n\n- old\n"
	for version, want := range map[string]string{"v1.2.3": "- fixed", "v1.2.2": "- old", "v1.3.0": "- new"} {
		if got := changesOf(log, version); got != "## Changes\n\n"+want {
			t.Errorf("%s: %q", version, got)
		}
	}
}
