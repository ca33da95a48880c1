package planted

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Switch is the variable of the environment that names the bug that a process has.
const Switch = "LOADSTONE_PLANTED"

// An Overlay is what go build -overlay reads: by the name of a file, that of its copy.
type Overlay struct{ Replace map[string]string }

// WriteOverlay writes the copies with all bugs of a repository into a folder, and the overlay. It
// returns the name of the latter. It fails if a snippet does not occur exactly once in its file, or
// lies in no function.
func WriteOverlay(repository, dir string, bugs []*Bug) (name string, err error) {
	o := Overlay{map[string]string{}}
	add := func(file, text string) error {
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "+"))
		o.Replace[filepath.Join(repository, file)] = copied
		return os.WriteFile(copied, []byte(text), 0o600)
	}
	files, switches := map[string][]body{}, map[string]map[string]string{}
	for i, b := range bugs {
		for _, e := range b.Edits {
			if !slices.ContainsFunc(files[e.File], func(x body) bool { return x.bug == i }) {
				files[e.File] = append(files[e.File], body{bug: i})
			}
			pkg := path.Dir(e.File)
			if switches[pkg] == nil {
				switches[pkg] = map[string]string{}
			}
			switches[pkg][variable(i)] = b.Name
		}
	}
	var stale []error // all of them, to be looked at together
	for file, all := range files {
		text, err := os.ReadFile(filepath.Join(repository, file))
		if err != nil {
			return "", err
		}
		planted, pkg, err := plant(file, string(text), bugs, all)
		if err != nil {
			stale = append(stale, err)
			continue
		}
		if err := add(file, planted); err != nil {
			return "", err
		}
		of := path.Dir(file)
		err = add(path.Join(of, "planted_switch.go"), switchFile(pkg, switches[of]))
		if err != nil {
			return "", err
		}
	}
	if len(stale) > 0 {
		return "", errors.Join(stale...)
	}
	text, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	name = filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, text, 0o600)
}

// A body is the body of a function as a bug has it.
type body struct {
	bug int
	at  *ast.FuncDecl
	has string
}

// variable returns the name of the variable that switches a bug on.
func variable(bug int) string { return "plantedBug" + strconv.Itoa(bug) }

// switchFile returns a file that sets a package's variables.
func switchFile(pkg string, names map[string]string) string {
	b := "package " + pkg + "\n\nimport \"os\"\n"
	for variable, bug := range names {
		b += fmt.Sprintf("\nvar %s = os.Getenv(%q) == %q\n", variable, Switch, bug)
	}
	return b
}

// plant returns a file whose functions have their bodies once more for each of the bugs, and the
// name of its package.
func plant(file, text string, bugs []*Bug, in []body) (planted, pkg string, err error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
	if err != nil {
		return "", "", err
	}
	offset := func(p token.Pos) int { return set.Position(p).Offset }
	var bodies []body
	for _, x := range in {
		own := map[*ast.FuncDecl]string{}
		for _, e := range bugs[x.bug].Edits {
			if e.File != file {
				continue
			}
			if n := strings.Count(text, e.Right); n != 1 {
				return "", "", fmt.Errorf("bug %q: %s has its right snippet %d times; it must be "+
					"there once. Look at what has changed, and change the bug or remove it:\n%s",
					bugs[x.bug].Name, file, n, e.Right)
			}
			at := strings.Index(text, e.Right)
			f := functionAt(tree, func(f *ast.FuncDecl) bool {
				return offset(f.Body.Lbrace) < at && at+len(e.Right) <= offset(f.Body.Rbrace)
			})
			if f == nil {
				return "", "", fmt.Errorf("bug %q: its snippet in %s is not in the body of a function",
					bugs[x.bug].Name, file)
			}
			if own[f] == "" {
				own[f] = text[offset(f.Body.Lbrace)+1 : offset(f.Body.Rbrace)]
			}
			own[f] = strings.Replace(own[f], e.Right, e.Wrong, 1)
		}
		for f, has := range own {
			bodies = append(bodies, body{x.bug, f, has})
		}
	}
	// From the end, so that offsets stay what they are.
	slices.SortFunc(bodies, func(a, b body) int {
		return cmp.Or(int(b.at.Pos()-a.at.Pos()), a.bug-b.bug)
	})
	for _, x := range bodies {
		end := "return"
		if x.at.Type.Results != nil {
			end = `panic("a planted bug lets the function go on past its end")`
		}
		at := offset(x.at.Body.Lbrace) + 1
		text = text[:at] + "\nif " + variable(x.bug) + " {\n" + x.has + "\n" + end + "\n}\n" + text[at:]
	}
	return text, tree.Name.Name, nil
}

// functionAt returns the function for which is is true, nil if there is none.
func functionAt(tree *ast.File, is func(*ast.FuncDecl) bool) *ast.FuncDecl {
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil && is(f) {
			return f
		}
	}
	return nil
}
