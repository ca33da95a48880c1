package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing/fstest"
	"time"

	"loadstone/engine/checkpoint"
	"loadstone/engine/ref"
)

// The language of the world: a token is a printable ASCII character, or begins or ends a message.
// So a text and its tokens are the same thing, and a client can say which tokens a server has.
const (
	tokenBegin = 96 + iota // begins a message; the first letter of its role follows
	tokenEnd
	vocabulary
)

// letters is how text becomes tokens; the server's Text and the oracle both use it.
type letters struct{}

func (l letters) EncodeChat(roles, contents []string, answers [][]int32, _ map[string]any, _ int) (
	ids []int32, err error) {
	for i, text := range contents {
		ids = append(ids, tokenBegin, int32(roles[i][0])-' ')
		if answers != nil && answers[i] != nil {
			ids = append(ids, answers[i]...)
		} else {
			ids = append(ids, l.Encode(text, false, 0)...)
		}
		ids = append(ids, tokenEnd)
	}
	return append(ids, tokenBegin, 'a'-' '), nil
}

func (letters) ChatTemplate() string { return template }

func (letters) Encode(s string, special bool, _ int) (ids []int32) {
	if special {
		ids = append(ids, tokenBegin)
	}
	for _, c := range []byte(s) {
		ids = append(ids, min(max(int32(c), ' '), '~'+1)-' ')
	}
	return ids
}

func (letters) AppendToken(dst []byte, id int32) []byte {
	if id >= tokenBegin {
		return dst
	}
	return append(dst, byte(id)+' ')
}

func (l letters) AppendText(dst []byte, id int32) []byte { return l.AppendToken(dst, id) }

// StopTokens has the beginning of a message too, so that no answer has a token without text.
func (letters) StopTokens() []int32 { return []int32{tokenEnd, tokenBegin} }

// config is a network with a sliding layer and a global one, as small as those can be. The window
// is such that a block whose last token alone is in it is needed: with 9 it would never matter
// whether it begins one token late.
var config = map[string]any{
	"architectures": []string{"Gemma3ForCausalLM"}, "model_type": "gemma3_text",
	"vocab_size": vocabulary, "hidden_size": 4, "intermediate_size": 4,
	"num_hidden_layers": 2, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 4,
	"max_position_embeddings": contextTokens, "rms_norm_eps": 1e-6, "sliding_window": 10,
	"layer_types": []string{"sliding_attention", "full_attention"},
	"rope_theta":  10000.0, "rope_local_base_freq": 1000.0, "query_pre_attn_scalar": 2,
	"hidden_activation": "gelu_pytorch_tanh", "attention_bias": false,
	"tie_word_embeddings": false, "bos_token_id": tokenBegin, "eos_token_id": tokenEnd,
}

const contextTokens = 512

// folder returns the folder of the network. Its weights are a function of their names and places,
// so that every server and the oracle have the same.
func folder() fstest.MapFS {
	text, err := json.Marshal(config)
	must(err)
	c, err := checkpoint.ParseConfig(text)
	must(err)
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header, data := map[string]entry{}, []byte{}
	for _, p := range c.Parameters() {
		n := 1
		for _, d := range p.Shape {
			n *= d
		}
		name := p.Stored
		if !strings.HasPrefix(name, "lm_head") {
			name = "model." + name
		}
		rng, from := rand.New(rand.NewPCG(uint64(len(name)), uint64(len(data)))), len(data)
		deviation := 1.6 / math.Sqrt(float64(p.Shape[len(p.Shape)-1]))
		if p.Norm {
			deviation = 0.1
		}
		for range n {
			w := float32(rng.NormFloat64() * deviation)
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(w))
		}
		header[name] = entry{"F32", p.Shape, [2]int{from, len(data)}}
	}
	head, err := json.Marshal(header)
	must(err)
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	file = append(append(file, head...), data...)
	return fstest.MapFS{
		"config.json":       {Data: text},
		"model.safetensors": {Data: file},
	}
}

// weights are opened once, before any episode.
var weights = func() *checkpoint.Checkpoint {
	c, err := checkpoint.Open(folder())
	must(err)
	return c
}()

func newModel() *ref.Model {
	m, err := ref.New(weights, "f32")
	must(err)
	return m
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// A stepper is a model whose steps take time, and fail when the script says so.
type stepper struct {
	*ref.Model
	world      *world
	alloc      error     // what AllocKV returns
	stuckSince time.Time // when a step began that hangs; zero: none does
}

var errInjected = errors.New("injected")

func (m *stepper) AllocKV(blocks, windowSlots, blockTokens int) error {
	if m.alloc != nil {
		return m.alloc
	}
	return m.Model.AllocKV(blocks, windowSlots, blockTokens)
}

func (m *stepper) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	w := m.world
	w.steps++
	w.log("step", "%d: %v of %d tokens", w.steps, lens, len(tokens))
	m.checkWanted()
	time.Sleep(w.stepTime + time.Duration(w.dice.Int64N(int64(w.stepTime)+1)))
	if f := w.stepFault; f != nil {
		if f.after--; f.after < 0 {
			w.stepFault = nil
			w.stepFaults++
			w.faults++
			w.log("step", "fault: %s", f.do)
			switch f.do {
			case "error":
				return errInjected
			case "panic":
				panic(errInjected)
			case "hang":
				m.stuckSince = time.Now()
				time.Sleep(hangTime)
				m.stuckSince = time.Time{}
			}
		}
	}
	return m.Model.Step(tokens, lens, starts, tables, windowSlots, rows, logits, picks, best)
}

// checkWanted: nothing is computed for clients that are gone. The server may hear of that while it
// is about to begin a step.
func (m *stepper) checkWanted() {
	w := m.world
	if w.asking > 0 || w.ending || w.running == nil || w.running.model != m {
		w.orphans = 0
		return
	}
	if w.orphans++; w.orphans > 2 {
		w.fail("outcome", "%d steps in a row for nobody", w.orphans)
	}
}

// hangTime is longer than the server calls a step stuck.
const hangTime = 100 * time.Second
