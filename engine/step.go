package engine

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"loadstone/engine/internal/sample"
)

// The outputs of a step are what the model gave for the batch's rows, and the tokens that were
// drawn from that. The engine has one and reuses it.
type outputs struct {
	rows   []int32   // indices into batch.tokens of the rows whose logits samplers want
	logits []float32 // len(rows) x vocab
	picks  []int32   // indices of the rows of which nothing but the likeliest token is wanted
	best   []int32   // that token, for each of picks

	tokens   []int32     // for each of batch.rows, noToken where none could be drawn
	logprobs [][]Logprob // with each of tokens, if its request asks for them

	row sample.Distribution // scratch of draw
}

// guard calls the model. It turns a panic into an error, so that the panic costs the requests
// concerned and not the server.
func (e *Engine) guard(call func() error) (err error) {
	e.calling.Store(time.Now().UnixNano())
	defer func() {
		e.calling.Store(0)
		if r := recover(); r != nil {
			err = fmt.Errorf("model panicked: %v", r)
			slog.Error("model panicked", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	return call()
}

// compute has the model make a batch's copies and compute the step, whose logits and picks are then
// in e.out.
func (e *Engine) compute(b *batch) error {
	return e.guard(func() error {
		if err := e.makeCopies(b); err != nil {
			return err
		}
		return e.runStep(b)
	})
}

func (e *Engine) makeCopies(b *batch) error {
	m := e.cfg.Model
	for _, c := range b.copies {
		err := m.CopyKV(int(c.Dst), int(c.Src), int(c.DstSlot), int(c.SrcSlot), int(c.Tokens))
		if err != nil {
			return fmt.Errorf("model failed to copy KV block %d to %d: %w", c.Src, c.Dst, err)
		}
	}
	return nil
}

func (e *Engine) runStep(b *batch) error {
	o := &e.out
	o.rows, o.picks = o.rows[:0], o.picks[:0]
	for i, q := range b.sampling {
		if e.jobs[q.id].sampler.Greedy() {
			o.picks = append(o.picks, b.rows[i])
		} else {
			o.rows = append(o.rows, b.rows[i])
		}
	}
	n := len(o.rows) * e.vocab
	o.logits = slices.Grow(o.logits[:0], n)[:n]
	o.best = slices.Grow(o.best[:0], len(o.picks))[:len(o.picks)]
	err := e.cfg.Model.Step(b.tokens, b.lens, b.starts, b.tables, b.windowSlots,
		o.rows, o.logits, o.picks, o.best)
	if err != nil {
		return fmt.Errorf("model failed in a step of %d sequences: %w", len(b.seqs), err)
	}
	return nil
}

// draw finds the token of each of the batch's rows: the model's pick, or one drawn from its logits.
// From the rows of a draft that are of no use nothing is drawn.
func (e *Engine) draw(b *batch) {
	o := &e.out
	o.tokens, o.logprobs = o.tokens[:0], o.logprobs[:0]
	logits, best := o.logits, o.best
	for row := 0; row < len(b.sampling); {
		q := b.sampling[row]
		j, follows := e.jobs[q.id], true // the row follows from the tokens drawn
		for i := range 1 + len(q.draft) {
			token, noted := noToken, []Logprob(nil)
			if j.sampler.Greedy() {
				token, best = best[0], best[1:]
			} else {
				if follows {
					token = e.drawFor(j, logits[:e.vocab])
					noted = j.sampler.Logprobs()
				}
				logits = logits[e.vocab:]
			}
			follows = follows && i < len(q.draft) && token == q.draft[i] &&
				!slices.Contains(q.stop, token)
			o.tokens, o.logprobs = append(o.tokens, token), append(o.logprobs, noted)
			row++
		}
	}
}

// drawFor draws a job's token from its row, noToken when there is none. A mask that panics costs
// its own request only.
func (e *Engine) drawFor(j *job, logits []float32) (token int32) {
	defer func() {
		if r := recover(); r != nil {
			slog.Error("drawing a token panicked", "panic", r, "stack", string(debug.Stack()))
			token = noToken
		}
	}()
	token, ok := j.sampler.Draw(logits, &e.out.row)
	if !ok {
		return noToken
	}
	return token
}
