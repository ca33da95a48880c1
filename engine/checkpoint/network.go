package checkpoint

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Network is the tensors of the network that config.json describes, under names that are the same
// for all families (see layerTensors): "embed.weight", "norm.weight", "layers.3.q.weight" and,
// unless the embedding is the head as well, "head.weight". A quantised module has .scales and
// .biases beside .weight. What the files hold as one matrix, such as the queries, keys and values
// of Phi-3, is in parts here. The files may hold more, such as the vision tower of a multimodal
// folder.
type Network struct {
	c       *Checkpoint
	tensors map[string]*Entry

	body string // beginning of the stored names of all tensors but those of the head
	head string // stored name of the head without ".weight"; "" if it is the embedding
}

// Entries lists the tensors in the order in which they lie in the files, file by file. It is for
// callers that read the files themselves; the slices of dimensions are not to be changed.
func (n *Network) Entries() []Entry { return inFileOrder(n.tensors) }

// Has reports whether the network has a tensor, such as a bias.
func (n *Network) Has(name string) bool { return n.tensors[name] != nil }

// Float32 reads a tensor as Checkpoint.Float32 does.
func (n *Network) Float32(name string) (data []float32, shape []int, err error) {
	return n.c.float32(name, n.tensors)
}

// within returns a stored name without the prefix that the network's names have. ok is false for a
// tensor that is not part of the network.
func (n *Network) within(stored string) (name string, ok bool) {
	if rest, ok := strings.CutPrefix(stored, n.head+"."); ok && n.head != "" {
		return "lm_head." + rest, true
	}
	if rest, ok := strings.CutPrefix(stored, n.body); ok && !unused(rest) && !isHead(rest) {
		return rest, true
	}
	return "", false
}

// bodies are the beginnings of names in published folders: of a text model by itself, of the text
// model inside a multimodal one as mlx-lm and Transformers 4 and as Transformers 5 write it, and of
// both where the body was saved without its head.
var bodies = []string{
	"model.", "language_model.model.", "model.language_model.", "language_model.", "",
}

var heads = []string{"lm_head", "language_model.lm_head"}

// isHead reports whether a name, without the prefix of the body, belongs to a head: if the body is
// saved by itself, its names have no prefix.
func isHead(rest string) bool {
	return strings.HasPrefix(rest, "lm_head.") || strings.HasPrefix(rest, "language_model.")
}

// unused reports whether networks do without a tensor of this name: the frequencies of RoPE, which
// old versions of Transformers stored, follow from config.json.
func unused(name string) bool { return strings.HasSuffix(name, "rotary_emb.inv_freq") }

// Network finds the network's tensors and checks that the files hold each of them, in its shape and
// in a type that can be read, and nothing in their midst that the network has no place for: a model
// without such a tensor would answer, but wrongly. It reads headers only. All backends call it, so
// that they refuse the same folders with the same words. It must not run beside other methods.
func (c *Checkpoint) Network() (*Network, error) {
	n, err := c.names()
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	var missing []string
	for _, p := range n.parameters() {
		name := n.body + p.Stored
		if p.Stored == "lm_head.weight" {
			name = n.head + ".weight"
		}
		if len(p.Shape) == 1 {
			err = c.checkVector(name, p.Shape, known)
		} else {
			err = c.checkMatrix(strings.TrimSuffix(name, ".weight"), p.Shape, known)
		}
		if err != nil {
			return nil, err
		}
		if !c.Has(name) {
			missing = append(missing, name)
			continue
		}
		n.add(name, p)
	}
	if len(missing) > 0 {
		return nil, c.missing(missing)
	}
	return n, c.checkRest(n, known)
}

// parameters lists what the files have to hold, in the layout in which they hold stacks: whole, or
// one matrix after the other.
func (n *Network) parameters() []Parameter {
	var list []Parameter
	for _, p := range n.c.Config.Parameters() {
		here := func(stored string) bool { return n.c.Has(n.body + stored) }
		if slices.ContainsFunc(p.Apart, here) {
			list = append(list, p.Matrices()...)
		} else {
			list = append(list, p)
		}
	}
	return list
}

// add adds the tensors of a stored parameter (with its scales and biases if it is quantised), cut
// into the parameter's parts.
func (n *Network) add(stored string, p Parameter) {
	for ending, e := range n.c.module(stored) {
		first := 0
		for i, part := range p.Parts {
			name := withEnding(part.Name, ending)
			if len(p.Shape) == 3 {
				n.tensors[name] = e.matrix(i)
				continue
			}
			n.tensors[name] = e.rows(first, part.Rows)
			first += part.Rows
		}
	}
}

// module returns the tensors of a stored weight by their endings: alone under its own, or with
// scales and biases.
func (c *Checkpoint) module(stored string) map[string]*Entry {
	all := map[string]*Entry{"": c.entries[stored]}
	if name, ok := strings.CutSuffix(stored, ".weight"); ok && c.entries[stored].DType == "U32" {
		for _, ending := range []string{".scales", ".biases"} {
			all[ending] = c.entries[name+ending]
		}
	}
	return all
}

// withEnding returns name with ending in place of .weight, or name as it is if ending is empty.
func withEnding(name, ending string) string {
	if ending == "" {
		return name
	}
	return strings.TrimSuffix(name, ".weight") + ending
}

// rows returns the entry of n rows of a tensor, from row first on.
func (e *Entry) rows(first, n int) *Entry {
	part := *e
	if n == e.Shape[0] {
		return &part
	}
	part.Shape = append([]int{n}, e.Shape[1:]...)
	size := (e.End - e.Begin) / int64(e.Shape[0])
	part.Begin += int64(first) * size
	part.End = part.Begin + int64(n)*size
	part.elements = e.elements / e.Shape[0] * n
	return &part
}

// matrix returns the entry of matrix i of a stack.
func (e *Entry) matrix(i int) *Entry {
	one := e.rows(i, 1)
	one.Shape = e.Shape[1:]
	return one
}

// names finds out how the tensors are named.
func (c *Checkpoint) names() (*Network, error) {
	at := slices.IndexFunc(bodies, func(b string) bool {
		return slices.ContainsFunc([]string{".weight", ".qweight", ".weight_packed"},
			func(kind string) bool { return c.Has(b + "embed_tokens" + kind) })
	})
	if at < 0 {
		return nil, c.noEmbedding()
	}
	n := &Network{c: c, body: bodies[at], tensors: map[string]*Entry{}}
	if c.Config.TieEmbeddings {
		return n, nil
	}
	for _, head := range heads {
		if c.Has(head+".weight") || foreignOf(c, head) != "" {
			n.head = head
			return n, nil
		}
	}
	return nil, fmt.Errorf("tensor lm_head.weight is missing, and config.json does not say "+
		"that the embedding is the head as well (tie_word_embeddings is false, which is also what "+
		"its absence means for %s): the files are incomplete; get them again, or set "+
		"tie_word_embeddings to true if the model was trained so", c.Config.ModelType)
}

// noEmbedding is the error for files without an embedding, by which network finds the names of the
// other tensors.
func (c *Checkpoint) noEmbedding() error {
	for _, b := range bodies {
		if c.Has(b + "layers.0.input_layernorm.weight") {
			return c.missing([]string{b + "embed_tokens.weight"})
		}
	}
	names := c.Names()
	if len(names) == 0 {
		return errors.New("the files hold no tensors: get them again")
	}
	return fmt.Errorf("tensor model.embed_tokens.weight is missing, and the files name their tensors "+
		"in another way, the first is %s: get the model in Hugging Face's layout", names[0])
}

// foreign are the endings that other methods of quantisation give to the tensors of a module. They
// name the method where config.json does not, as in folders of early converters.
var foreign = []struct{ ending, method string }{
	{".qweight", "GPTQ or AWQ"},
	{".weight_packed", "compressed-tensors"},
	{".weight.absmax", "bitsandbytes"},
	{".SCB", "bitsandbytes"},
	{".weight.SCB", "bitsandbytes"},
	{".weight_scale", "fp8, NVFP4 or compressed-tensors"},
	{".weight_scale_inv", "fp8"},
	{".W_q", "HQQ"},
	{".codebooks", "AQLM"},
	{".Qidxs", "QuIP#"},
}

// foreignOf returns the method that a module is quantised by, "" if it is none of foreign.
func foreignOf(c *Checkpoint, module string) string {
	for _, f := range foreign {
		if c.Has(module + f.ending) {
			return f.method
		}
	}
	return ""
}

// wayOut is what somebody with weights of a kind that is not supported can do.
const wayOut = "take the model in float32, float16 or bfloat16, or quantised by MLX " +
	"(an mlx-community folder, or mlx_lm.convert -q on the unquantised one)"

// isFloat reports whether Float32 can read a type that is not packed.
func isFloat(dtype string) bool { return dtype == "F32" || dtype == "F16" || dtype == "BF16" }

func checkFloat(e *Entry) error {
	if isFloat(e.DType) {
		return nil
	}
	dtype := e.DType
	if strings.HasPrefix(dtype, "F8_") {
		dtype += " (fp8)"
	}
	return fmt.Errorf("%s: tensor %s has the type %s, which is not supported: %s",
		e.File, e.Name, dtype, wayOut)
}

func checkShape(e *Entry, want []int) error {
	if slices.Equal(e.Shape, want) {
		return nil
	}
	return fmt.Errorf("%s: tensor %s has shape %v, config.json asks for %v",
		e.File, e.Name, e.Shape, want)
}

// checkVector checks a norm, if it is there, and adds its name to known.
func (c *Checkpoint) checkVector(name string, shape []int, known map[string]bool) error {
	known[name] = true
	e := c.entries[name]
	if e == nil {
		return nil
	}
	if err := checkFloat(e); err != nil {
		return err
	}
	return checkShape(e, shape)
}

// checkMatrix does the same for the tensors of a module, a matrix or a stack of them, in floats or
// quantised by MLX.
func (c *Checkpoint) checkMatrix(module string, shape []int, known map[string]bool) error {
	if method := foreignOf(c, module); method != "" {
		return fmt.Errorf("%s is quantised by %s, which is not supported: %s",
			module, method, wayOut)
	}
	weight := c.entries[module+".weight"]
	known[module+".weight"] = true
	if weight == nil {
		return nil
	}
	scales, biases := c.entries[module+".scales"], c.entries[module+".biases"]
	if scales == nil {
		if weight.DType == "U32" {
			return fmt.Errorf("%s: tensor %s holds integers and has no scales",
				weight.File, weight.Name)
		}
		if err := checkFloat(weight); err != nil {
			return err
		}
		return checkShape(weight, shape)
	}
	if biases == nil {
		return fmt.Errorf("tensor %s.biases is missing; MLX's affine mode has one, "+
			"and its other modes are not supported: %s", module, wayOut)
	}
	known[scales.Name], known[biases.Name] = true, true
	for _, e := range []*Entry{scales, biases} {
		if err := checkFloat(e); err != nil {
			return err
		}
	}
	return c.checkPacked(weight, scales, biases, shape)
}

// checkPacked checks a module that MLX has quantised. The shapes in the files say in how many bits
// and in which groups; this is what counts, as in MLX, where config.json says nothing or something
// else.
func (c *Checkpoint) checkPacked(weight, scales, biases *Entry, shape []int) error {
	last := len(shape) - 1
	rows, columns := shape[:last], shape[last]
	ok := weight.DType == "U32" && len(weight.Shape) == len(shape) &&
		len(scales.Shape) == len(shape) && slices.Equal(weight.Shape[:last], rows) &&
		slices.Equal(scales.Shape[:last], rows) && scales.Shape[last] > 0 &&
		columns%scales.Shape[last] == 0 && weight.Shape[last]*32%columns == 0
	if !ok {
		return fmt.Errorf("%s: tensor %s has shape %v of %s and scales %v, "+
			"config.json asks for %v, packed",
			weight.File, weight.Name, weight.Shape, weight.DType, scales.Shape, shape)
	}
	q := Quantization{GroupSize: columns / scales.Shape[last],
		Bits: weight.Shape[last] * 32 / columns}
	if err := q.check(); err != nil {
		return fmt.Errorf("%s: tensor %s: %w", weight.File, weight.Name, err)
	}
	weight.quantization = q
	return checkShape(biases, scales.Shape)
}

// missing is the error for tensors that the files lack.
func (c *Checkpoint) missing(names []string) error {
	more := ""
	if len(names) > 1 {
		more = fmt.Sprintf(", and %d more of those that config.json asks for", len(names)-1)
	}
	return fmt.Errorf("tensor %s is missing%s: the files are incomplete, or of another network",
		names[0], more)
}

// checkRest looks for tensors in the midst of the network that it has no place for.
func (c *Checkpoint) checkRest(n *Network, known map[string]bool) error {
	for _, name := range slices.Sorted(maps.Keys(c.entries)) {
		plain, ok := n.within(name)
		if !ok || known[name] {
			continue
		}
		if n.body == "" && !strings.HasPrefix(name, "layers.") {
			continue // without a beginning of their own, names do not tell what they belong to
		}
		if strings.HasSuffix(name, ".bias") {
			return fmt.Errorf("tensor %s: a bias has no place there in the %s network that "+
				"config.json describes: without it the answers would be wrong",
				name, c.Config.ModelType)
		}
		if rest, ok := strings.CutPrefix(plain, "layers."); ok {
			number, _, _ := strings.Cut(rest, ".")
			if i, err := strconv.Atoi(number); err == nil && i >= c.Config.Layers {
				return fmt.Errorf("tensor %s is of a layer that config.json does not have: "+
					"num_hidden_layers is %d, and layers count from 0. "+
					"One of the two is of another model", name, c.Config.Layers)
			}
		}
		return fmt.Errorf("tensor %s has no place in the %s network that config.json describes: "+
			"without it the answers would be wrong", name, c.Config.ModelType)
	}
	return nil
}
