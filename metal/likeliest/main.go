// Command likeliest writes which tokens a network finds likeliest after each token of some texts,
// and how it answers some chats. benchdata/peers/run agreement compares that with other engines.
//
//	go run -tags mlx ./metal/likeliest [-activations 16] -questions FILE FOLDER
//
// FOLDER is a model folder. FILE, and what is written to standard output, are the JSON of questions
// and of findings.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"

	"loadstone/metal"
)

// questions are what each engine is asked. Texts and chats are tokens, so that no engine's
// tokenizer matters.
type questions struct {
	Texts  [][]int32 `json:"texts"`
	From   int       `json:"from"` // tokens of a text before this place are read, not counted
	Chats  [][]int32 `json:"chats"`
	Answer int       `json:"answer"` // the most tokens of an answer
	Ends   []int32   `json:"ends"`   // an answer ends with any of these
}

// findings are what an engine makes of questions: for each token of a text from From on what may
// come next, and for each token of an answer what might have come there. Answers are greedy, each
// token of them is the likeliest one.
type findings struct {
	Texts [][]finding `json:"texts"`
	Chats [][]finding `json:"chats"`
}

// A finding is the start of the distribution of one token. Log-probabilities are in nats.
type finding struct {
	Next     float64   `json:"next"` // that of the token that came: the text's, or the answer's
	IDs      []int32   `json:"ids"`  // the likeliest tokens, the first of equals first
	Logprobs []float64 `json:"logprobs"`
}

const (
	kept        = 64 // tokens in a finding
	stepTokens  = 64 // of a text in a step
	blockTokens = 32
)

func main() {
	bits := flag.Int("activations", 8, "bits of activations beside quantised weights: 8 or 16")
	file := flag.String("questions", "", "file with the questions")
	flag.Parse()
	if flag.NArg() != 1 || *file == "" {
		fmt.Fprintln(os.Stderr, "usage: likeliest [-activations 16] -questions FILE FOLDER")
		os.Exit(2)
	}
	if err := run(*file, flag.Arg(0), *bits, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "likeliest:", err)
		os.Exit(1)
	}
}

func run(file, dir string, bits int, w io.Writer) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var q questions
	if err := json.Unmarshal(data, &q); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	found, err := find(dir, bits, q)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(found)
}

// find asks the network in dir.
func find(dir string, bits int, q questions) (*findings, error) {
	model, err := metal.Open(dir, metal.Options{Activations: bits})
	if err != nil {
		return nil, err
	}
	defer model.Close()
	longest := 0
	for _, ids := range q.Texts {
		longest = max(longest, len(ids))
	}
	for _, ids := range q.Chats {
		longest = max(longest, len(ids)+q.Answer)
	}
	blocks := (longest + blockTokens - 1) / blockTokens
	if err := model.AllocKV(blocks, blocks, blockTokens); err != nil {
		return nil, err
	}
	r := &reader{model: model, logits: make([]float32, stepTokens*model.Vocab())}
	for i := range blocks {
		r.table = append(r.table, int32(i))
	}
	f := &findings{Texts: [][]finding{}, Chats: [][]finding{}}
	for _, ids := range q.Texts {
		found, err := r.text(ids, q.From)
		if err != nil {
			return nil, err
		}
		f.Texts = append(f.Texts, found)
	}
	for _, ids := range q.Chats {
		found, err := r.answer(ids, q.Answer, q.Ends)
		if err != nil {
			return nil, err
		}
		f.Chats = append(f.Chats, found)
	}
	return f, nil
}

// A reader has one sequence of tokens in the model's memory, which has room for the longest.
type reader struct {
	model  *metal.Model
	table  []int32
	logits []float32 // rows of a step
}

// text finds what may come after each token of a text from a place on, the last apart.
func (r *reader) text(ids []int32, from int) ([]finding, error) {
	var found []finding
	for at := 0; at+1 < len(ids); at += stepTokens {
		part := ids[at:min(at+stepTokens, len(ids)-1)]
		var rows []int32
		for i := max(from-at, 0); i < len(part); i++ {
			rows = append(rows, int32(i))
		}
		if err := r.step(part, at, rows); err != nil {
			return nil, err
		}
		some := make([]finding, len(rows))
		var wait sync.WaitGroup
		for i, row := range rows {
			wait.Go(func() { some[i] = newFinding(r.row(i), ids[at+int(row)+1]) })
		}
		wait.Wait()
		found = append(found, some...)
	}
	return found, nil
}

// answer takes the likeliest token after a prompt, and so on, until one of ends or n of them.
func (r *reader) answer(prompt []int32, n int, ends []int32) ([]finding, error) {
	var found []finding
	for next, at := prompt, 0; len(found) < n; {
		if err := r.step(next, at, []int32{int32(len(next) - 1)}); err != nil {
			return nil, err
		}
		best := likeliest(r.row(0), 1)[0]
		found = append(found, newFinding(r.row(0), best))
		if slices.Contains(ends, best) {
			break
		}
		next, at = []int32{best}, at+len(next)
	}
	return found, nil
}

// step computes tokens that follow the first at ones of the sequence, and logits of some of them.
func (r *reader) step(tokens []int32, at int, rows []int32) error {
	n := len(tokens)
	blocks := r.table[:(at+n+blockTokens-1)/blockTokens]
	return r.model.Step(tokens, []int32{int32(n)}, []int32{int32(at)}, blocks, blocks, rows,
		r.logits[:len(rows)*r.model.Vocab()], nil, nil)
}

func (r *reader) row(i int) []float32 { return r.logits[i*r.model.Vocab():][:r.model.Vocab()] }

func newFinding(row []float32, next int32) finding {
	top, sum := float64(slices.Max(row)), 0.0
	for _, x := range row {
		sum += math.Exp(float64(x) - top)
	}
	logprob := func(id int32) float64 { // a millionth is enough
		return math.Round(1e6*(float64(row[id])-top-math.Log(sum))) / 1e6
	}
	f := finding{Next: logprob(next), IDs: likeliest(row, min(kept, len(row)))}
	for _, id := range f.IDs {
		f.Logprobs = append(f.Logprobs, logprob(id))
	}
	return f
}

// likeliest returns the places of the n largest numbers of a row, the first of equals first.
func likeliest(row []float32, n int) []int32 {
	best := make([]int32, 0, n+1)
	for i, x := range row {
		if len(best) == n && x <= row[best[n-1]] {
			continue
		}
		at, _ := slices.BinarySearchFunc(best, x, func(id int32, x float32) int {
			return cmp.Or(cmp.Compare(x, row[id]), -1) // after its equals
		})
		best = slices.Insert(best, at, int32(i))[:min(len(best)+1, n)]
	}
	return best
}
