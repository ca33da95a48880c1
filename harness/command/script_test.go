package command_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"loadstone/harness/script"
	"loadstone/metal"
)

var update = flag.Bool("update-scripts", false, "rewrite the golden files inside the scripts")

// The scripts of testdata/script run this command and no other: the test binary is loadstone.
func TestMain(m *testing.M) { script.Main(m, nil) }

// TestScript runs testdata/script/*.txtar, the end-to-end tests, and the example scenarios, which
// are scripts as well. Beside the commands of package script they have the condition [mlx].
func TestScript(t *testing.T) { runScripts(t, "testdata/script") }

func TestScenarios(t *testing.T) { runScripts(t, "testdata/scenarios") }

// The five scenarios of every baseline are scripts as well.
func TestFive(t *testing.T) { runScripts(t, "harness/scenario/five") }

// So are those of the suite agents.
func TestAgents(t *testing.T) { runScripts(t, "harness/scenario/agents") }

func runScripts(t *testing.T, dir string) {
	testscript.Run(t, script.Params(testscript.Params{
		Dir:                 filepath.Join("..", "..", filepath.FromSlash(dir)),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Condition: func(cond string) (bool, error) {
			if cond == "mlx" {
				return metal.Available, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	}))
}
