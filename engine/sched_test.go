package engine

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"loadstone/engine/internal/kv"
)

var update = flag.Bool("update", false,
	"write the transcripts in testdata/sched anew; review the diff")

// TestSched runs the transcripts in testdata/sched: commands to a scheduler, each followed by
// ---- and its output, up to an empty line. Every invariant is checked after each command.
//
//	new blocks=N block=N batch=N step=N [slots=N window=N] [principals=N]
//	                                      a scheduler; block is BlockTokens, step StepTokens
//	add ID [of=PRINCIPAL] [agent=A] [salt=S] prompt=P max=N [stop=T]
//	plan [N] [rows=R]                     what the next step computes, of at most N prompt tokens;
//	                                      of several principals' streams at most R
//	commit T...                           the tokens drawn for it; - where none could be
//	fail                                  the step failed
//	steps N                               N times plan and commit, the tokens counting up from 500;
//	                                      prints the events only
//	cancel ID
//	pool | slots | agents | queue         the state
//
// A prompt is tokens and runs of them, as in 1-8,5,9-12. @ID stands for all tokens of a sequence,
// its answer included; it comes first.
func TestSched(t *testing.T) {
	files, err := filepath.Glob("testdata/sched/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(data))
			if got == string(data) {
				return
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s differs from what the scheduler does now%s\n"+
				"run go test -run TestSched -update and review the diff",
				file, firstDifference(string(data), got))
		})
	}
}

// replay runs a transcript and returns it with its outputs as they are now.
func replay(t *testing.T, text string) string {
	var out strings.Builder
	var w world
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if line == "" || strings.HasPrefix(line, "#") {
			out.WriteString(line)
			if i < len(lines)-1 {
				out.WriteByte('\n')
			}
			continue
		}
		answer, err := w.do(line)
		if err != nil {
			t.Fatalf("line %d: %s: %v", i+1, line, err)
		}
		w.sched.check()
		fmt.Fprintf(&out, "%s\n----\n%s", line, answer)
		if i+1 < len(lines) && lines[i+1] == "----" {
			for i++; i+1 < len(lines) && lines[i+1] != ""; i++ {
			}
		}
	}
	return out.String()
}

func firstDifference(old, new string) string {
	a, b := strings.Split(old, "\n"), strings.Split(new, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf(" at line %d:\n-%s\n+%s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf(" after line %d", min(len(a), len(b)))
}

// A world is a scheduler and the sequences that a transcript has given it.
type world struct {
	sched *sched
	seqs  map[string]*sequence
	token int32
}

func (w *world) do(line string) (string, error) {
	fields := strings.Fields(line)
	args := map[string]string{}
	var words []string
	for _, f := range fields[1:] {
		if k, v, ok := strings.Cut(f, "="); ok {
			args[k] = v
		} else {
			words = append(words, f)
		}
	}
	number := func(key string) int {
		n, _ := strconv.Atoi(args[key])
		return n
	}
	switch cmd := fields[0]; cmd {
	case "new":
		shape := kv.Shape{BlockTokens: number("block"), Window: number("window")}
		layout := kv.Layout{Shape: shape, Blocks: number("blocks"), WindowSlots: number("slots")}
		w.sched = newSched(layout, number("batch"), number("step"))
		w.sched.principals = number("principals")
		w.seqs, w.token = map[string]*sequence{}, 500
		return "", nil
	case "add":
		prompt, err := w.tokens(args["prompt"])
		if err != nil {
			return "", err
		}
		stop, err := w.tokens(args["stop"])
		if err != nil {
			return "", err
		}
		id, err := strconv.ParseUint(words[0], 10, 64)
		if err != nil {
			return "", err
		}
		q := &sequence{id: id, who: owner(args), prompt: len(prompt), max: number("max"),
			sure: number("sure"), tokens: prompt, stop: stop}
		w.seqs[words[0]] = q
		w.sched.Add(q)
		blocks := extentOf(q.prompt, q.max, q.sure, 0).SureBlocks(&w.sched.store.Shape)
		return fmt.Sprintf("%d tokens, needs %d blocks\n", len(prompt), blocks), nil
	case "plan":
		prompts := w.sched.stepTokens
		if len(words) > 0 {
			n, err := strconv.Atoi(words[0])
			if err != nil {
				return "", err
			}
			prompts = n
		}
		if args["rows"] != "" {
			return printBatch(w.sched.Plan(prompts, number("rows"), drafting{})), nil
		}
		return printBatch(w.sched.Plan(prompts, w.sched.maxBatch, drafting{})), nil
	case "commit":
		var next []int32
		for _, word := range words {
			n, err := strconv.Atoi(word)
			if word == "-" {
				n, err = int(noToken), nil
			}
			if err != nil {
				return "", err
			}
			next = append(next, int32(n))
		}
		if want := len(w.sched.batch.rows); len(next) != want {
			return "", fmt.Errorf("the step asks for %d tokens:\n%s",
				want, printBatch(&w.sched.batch))
		}
		return printEvents(w.sched.Commit(next)), nil
	case "fail":
		return printEvents(w.sched.Fail()), nil
	case "steps":
		n, err := strconv.Atoi(words[0])
		if err != nil {
			return "", err
		}
		return w.steps(n), nil
	case "cancel":
		id, err := strconv.ParseUint(words[0], 10, 64)
		if err != nil {
			return "", err
		}
		ev, ok := w.sched.Cancel(id)
		if !ok {
			return "no such sequence\n", nil
		}
		return printEvents([]event{ev}), nil
	case "pool", "slots", "agents", "queue":
		return w.show(cmd), nil
	default:
		return "", fmt.Errorf("unknown command")
	}
}

func (w *world) steps(n int) string {
	var out strings.Builder
	for range n {
		b := w.sched.Plan(w.sched.stepTokens, w.sched.maxBatch, drafting{})
		if b == nil {
			out.WriteString("nothing to do\n")
			break
		}
		w.sched.check()
		var next []int32
		for range b.rows {
			next = append(next, w.token)
			w.token++
		}
		out.WriteString(printEvents(w.sched.Commit(next)))
		w.sched.check()
	}
	return out.String()
}

func (w *world) show(what string) string {
	var out strings.Builder
	store := w.sched.store
	switch what {
	case "pool":
		st := store.Stats()
		c := st.Blocks
		fmt.Fprintf(&out, "used %d (%d of them promised), cached %d, free %d; peak %d; "+
			"evicted %d\n", c.Used, c.Promised, c.Cached, c.Free, c.Peak, st.Evictions)
		if c := st.Slots; store.Window > 0 {
			fmt.Fprintf(&out, "window slots: used %d, cached %d, free %d; peak %d\n",
				c.Used, c.Cached, c.Free, c.Peak)
		}
	case "slots":
		for x := range store.WindowSlots {
			block, running, cached := store.Slot(x)
			if block == kv.None {
				continue
			}
			state := "free"
			switch {
			case running:
				state = "in a window"
			case cached:
				state = "cached"
			}
			fmt.Fprintf(&out, "%d of block %d: %s\n", x, block, state)
		}
	case "agents":
		for c := range store.Chains() {
			name := printAgent(c.Agent)
			if c.Agent.Anonymous() {
				name = "(anonymous)"
			}
			fmt.Fprintf(&out, "%s: %d tokens in blocks %v\n", name, len(c.Tokens), c.Blocks)
		}
	case "queue":
		for i := range w.sched.queue.lines() {
			g, n := w.sched.queue.place(i)
			l := w.sched.queue.groups[g].lines[n]
			fmt.Fprintf(&out, "%s:", printAgent(l.agent))
			for _, q := range l.waiting {
				fmt.Fprintf(&out, " %d", q.id)
			}
			if p := l.waiting[0].passed; p > 0 {
				fmt.Fprintf(&out, " (passed %d times)", p)
			}
			out.WriteByte('\n')
		}
	}
	if out.Len() == 0 {
		return "none\n"
	}
	return out.String()
}

// owner reads whose a sequence is.
func owner(args map[string]string) kv.Identity {
	who := kv.Identity{Agent: kv.Agent{Principal: args["of"], Name: args["agent"]}, Salt: args["salt"]}
	if args["of"] != "" || args["salt"] != "" {
		who.Root = kv.NewRoot(args["of"], args["salt"])
	}
	return who
}

func printAgent(a kv.Agent) string {
	if a.Principal == "" {
		return a.Name
	}
	return a.Principal + "/" + a.Name
}

// tokens reads a prompt.
func (w *world) tokens(s string) (ids []int32, err error) {
	if s == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		if id, ok := strings.CutPrefix(part, "@"); ok {
			q := w.seqs[id]
			if q == nil {
				return nil, fmt.Errorf("no sequence %s", id)
			}
			ids = slices.Clone(q.tokens)
			continue
		}
		from, to, ok := strings.Cut(part, "-")
		if !ok {
			to = from
		}
		a, err := strconv.Atoi(from)
		if err != nil {
			return nil, err
		}
		b, err := strconv.Atoi(to)
		if err != nil {
			return nil, err
		}
		for ; a <= b; a++ {
			ids = append(ids, int32(a))
		}
	}
	return ids, nil
}

func printBatch(b *batch) string {
	if b == nil {
		return "nothing to do\n"
	}
	var out strings.Builder
	for _, q := range b.admitted {
		fmt.Fprintf(&out, "admit %d: %d of %d cached", q.id, q.cached, q.prompt)
		if q.miss != "" {
			fmt.Fprintf(&out, ", %s", q.miss)
		}
		blocks, slots := q.claim.Promised()
		fmt.Fprintf(&out, "; has %d blocks, may take %d more", len(q.claim.Blocks), blocks)
		if slots > 0 {
			fmt.Fprintf(&out, " and %d window slots", slots)
		}
		out.WriteByte('\n')
	}
	for _, c := range b.copies {
		fmt.Fprintf(&out, "copy %d tokens of block %d to block %d\n", c.Tokens, c.Src, c.Dst)
	}
	row, slots := 0, b.windowSlots
	for i, q := range b.seqs {
		what := "prefill"
		if q.decoding() {
			what = "decode"
		}
		fmt.Fprintf(&out, "%d %s at %d: %d", q.id, what, b.starts[i], b.lens[i])
		n := len(q.claim.Blocks)
		fmt.Fprintf(&out, " in blocks %v", q.claim.Blocks)
		if slices.Max(slots[:n]) != kv.None {
			fmt.Fprintf(&out, ", window slots %v", slots[:n])
		}
		slots = slots[n:]
		if row < len(b.sampling) && b.sampling[row] == q {
			out.WriteString(" -> token")
			row++
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func printEvents(events []event) string {
	var out strings.Builder
	for _, ev := range events {
		fmt.Fprintf(&out, "%d:", ev.seq.id)
		if ev.token != noToken {
			fmt.Fprintf(&out, " %d", ev.token)
		}
		if ev.finish != "" {
			fmt.Fprintf(&out, " ends: %s", ev.finish)
			if ev.seq.cached > 0 {
				fmt.Fprintf(&out, ", %d of %d cached", ev.seq.cached, ev.seq.prompt)
			}
		}
		out.WriteByte('\n')
	}
	if out.Len() == 0 {
		return "no event\n"
	}
	return out.String()
}
