package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// licenceTexts are those of software in the wheels whose licences the wheels do not have.
//
//go:embed licences
var licenceTexts embed.FS

const (
	gccRuntime = "GPL-3.0-or-later WITH GCC-exception-3.1"

	mlxWheel  = "mlx_cpu"
	blasWheel = "scipy_openblas32"
)

// A library is third-party software of the wheels that metal/setup installs.
type library struct {
	name     string
	pattern  string // of its files, in metal/.mlx and in lib/ of the archive; "": part of libmlx.so
	wheel    string // that has it
	debian   string // the distribution's package from which the wheel's makers took it, if any
	licences []string
	text     string // in licences/; "": the wheel's own
}

// sourceNote says what the licences of GCC's libraries want to be said.
const sourceNote = "an unchanged file of Ubuntu's package %s, whose source package gcc-12 has " +
	"the same version; another build of the library may take its place"

// libraries lists the software, as the wheels' own statements and MLX's ACKNOWLEDGMENTS have it.
// libgfortran comes with libquadmath; both are unchanged files, which anyone may exchange.
func libraries() []library {
	mit, bsd := []string{"MIT"}, []string{"BSD-3-Clause"}
	return []library{
		{"mlx-cpu", "mlx/lib/libmlx.so", mlxWheel, "", mit, ""},
		{"pocketfft", "", mlxWheel, "", bsd, "pocketfft.txt"},
		{"fmt", "", mlxWheel, "", mit, "fmt.txt"},
		{"nlohmann-json", "", mlxWheel, "", mit, "json.txt"},
		{"gguflib", "", mlxWheel, "", mit, "gguflib.txt"},
		{"scipy-openblas32", "openblas/libscipy_openblas.so", blasWheel, "",
			[]string{"BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Open-MPI", gccRuntime}, ""},
		{"libblas3", "mlx_cpu.libs/libblas-*", mlxWheel, "libblas3", bsd, "lapack.txt"},
		{"liblapack3", "mlx_cpu.libs/liblapack-*", mlxWheel, "liblapack3", bsd, "lapack.txt"},
		{"libgfortran5", "mlx_cpu.libs/libgfortran-*", mlxWheel, "libgfortran5",
			[]string{gccRuntime}, "gcc.txt"},
		{"libquadmath0", "mlx_cpu.libs/libquadmath-*", mlxWheel, "libquadmath0",
			[]string{"LGPL-2.1-or-later"}, "LGPL-2.1.txt"},
	}
}

// nativeLibraries returns the libraries of a target with MLX: what they are, and the files for the
// archive. It refuses a library in the wheels that is not in the table.
func nativeLibraries(mlx string) ([]component, []file, error) {
	debian, err := wheelContents(mlx)
	if err != nil {
		return nil, nil, err
	}
	var all []component
	var files []file
	for _, l := range libraries() {
		c := component{name: l.name, licences: l.licences}
		if l.debian == "" {
			if c.version, err = wheelVersion(mlx, l.wheel); err != nil {
				return nil, nil, err
			}
			c.purl = "pkg:pypi/" + strings.ReplaceAll(l.wheel, "_", "-") + "@" + c.version
		} else if c.purl = debian[l.debian]; c.purl == "" {
			return nil, nil, fmt.Errorf("the wheel %s does not name %s any more", l.wheel, l.debian)
		} else {
			_, c.version, _ = strings.Cut(c.purl, "@")
		}
		if strings.Contains(l.licences[0], "GPL") {
			c.note = fmt.Sprintf(sourceNote, l.debian)
		}
		if l.pattern == "" { // part of libmlx.so, of a version that the wheel does not say
			c.version, c.purl = "", ""
		}
		if c.texts, err = l.texts(mlx); err != nil {
			return nil, nil, err
		}
		if l.pattern != "" {
			found, err := filepath.Glob(filepath.Join(mlx, filepath.FromSlash(l.pattern)))
			if err != nil || len(found) != 1 {
				return nil, nil, fmt.Errorf("%s: want one file %s in %s, found %v", l.name, l.pattern,
					mlx, found)
			}
			name := path.Join("lib", path.Dir(l.pattern), filepath.Base(found[0]))
			files = append(files, file{name: name, mode: 0o755, path: found[0]})
			c.files = []string{name}
		}
		if err := c.check(); err != nil {
			return nil, nil, err
		}
		all = append(all, c)
	}
	return all, files, checkComplete(mlx, files)
}

// texts reads the library's licence.
func (l library) texts(mlx string) ([]text, error) {
	if l.text != "" {
		body, err := licenceTexts.ReadFile("licences/" + l.text)
		return []text{{l.text, body}}, err
	}
	found, err := filepath.Glob(filepath.Join(mlx, l.wheel+"-*.dist-info", "licenses", "*"))
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("the wheel %s has no licence in %s", l.wheel, mlx)
	}
	var all []text
	for _, f := range found {
		body, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		all = append(all, text{filepath.Base(f), body})
	}
	return all, nil
}

// checkComplete returns an error if a folder of libraries has one that is not in files.
func checkComplete(mlx string, files []file) error {
	for _, dir := range []string{"mlx/lib", "openblas", "mlx_cpu.libs"} {
		found, err := filepath.Glob(filepath.Join(mlx, filepath.FromSlash(dir), "*.so*"))
		if err != nil {
			return err
		}
		for _, f := range found {
			if !slices.ContainsFunc(files, func(g file) bool { return g.path == f }) {
				return fmt.Errorf("%s is in no row of libraries in internal/release: "+
					"what is it, and under which licence?", f)
			}
		}
	}
	return nil
}

// wheelVersion returns the version of a wheel that pip installed into dir.
func wheelVersion(dir, wheel string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, wheel+"-*.dist-info"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("want one %s-*.dist-info in %s, found %v; "+
			"a release is made with the wheels of go run ./metal/setup", wheel, dir, found)
	}
	name := strings.TrimSuffix(filepath.Base(found[0]), ".dist-info")
	return strings.TrimPrefix(name, wheel+"-"), nil
}

// wheelContents reads from the bill of materials in MLX's wheel which packages of a distribution
// its makers put into it. The value is a package URL.
func wheelContents(dir string) (map[string]string, error) {
	found, err := filepath.Glob(filepath.Join(dir, mlxWheel+"-*.dist-info", "sboms", "*.cdx.json"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("want one bill of materials of the wheel %s in %s, found %v; "+
			"a release is made with the wheels of go run ./metal/setup", mlxWheel, dir, found)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		return nil, err
	}
	var bom struct {
		Components []struct{ Name, Purl string }
	}
	if err := json.Unmarshal(data, &bom); err != nil {
		return nil, fmt.Errorf("%s: %w", found[0], err)
	}
	urls := map[string]string{}
	for _, c := range bom.Components {
		urls[c.Name] = c.Purl
	}
	return urls, nil
}
