package service

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"loadstone/engine"
	"loadstone/engine/catalog"
	"loadstone/engine/checkpoint"
	"loadstone/engine/gguf"
	"loadstone/engine/ref"
	"loadstone/engine/tokenizer"
)

// An Inspection holds what a server needs to serve a model. Its weights have not been read.
type Inspection struct {
	Config      checkpoint.Config
	GGUF        bool  // it is a GGUF file, from which a folder has to be imported first
	Parameters  int64 // numbers
	WeightBytes int64 // as stored, which is about what they take on MLX
	RefBytes    int64 // in float32, which is what they take on ref
	Chat        bool  // it has a chat template
	KV          []KVSize
}

// A KVSize is how many bytes the KV cache takes in one format.
type KVSize struct {
	Format       string
	Global       int   // bytes a token in the layers that see all tokens
	Window       int   // bytes a token in sliding layers
	FullBytes    int64 // a request of the whole context
	DefaultBytes int64 // what a server takes unless it is told otherwise
}

// Inspect returns what a server needs to serve a model of the catalogue, a folder or a GGUF file,
// or the error with which it would refuse to. It reads headers and the tokenizer.
func Inspect(name string) (Inspection, error) {
	if info, err := os.Stat(name); err == nil && !info.IsDir() &&
		strings.EqualFold(filepath.Ext(name), ".gguf") {
		g, err := gguf.Inspect(name)
		if err != nil {
			return Inspection{}, err
		}
		return complete(Inspection{Config: g.Config, GGUF: true, WeightBytes: g.WeightBytes,
			Chat: g.HasTemplate})
	}
	src, err := catalog.Open(name)
	if err != nil {
		return Inspection{}, err
	}
	i, err := inspectFolder(src)
	if err != nil {
		return Inspection{}, inFolder(src, err)
	}
	return complete(i)
}

func inspectFolder(src catalog.Source) (Inspection, error) {
	c, err := checkpoint.Open(src.FS)
	if err != nil {
		return Inspection{}, err
	}
	network, err := c.Network()
	if err != nil {
		return Inspection{}, err
	}
	text, err := tokenizer.Load(src.FS)
	if err != nil {
		return Inspection{}, err
	}
	i := Inspection{Config: c.Config, Chat: text.HasTemplate()}
	for _, e := range network.Entries() {
		i.WeightBytes += e.End - e.Begin
	}
	return i, nil
}

// complete adds what follows from the configuration.
func complete(i Inspection) (Inspection, error) {
	for _, p := range i.Config.Parameters() {
		n := int64(1)
		for _, d := range p.Shape {
			n *= int64(d)
		}
		i.Parameters += n
	}
	i.RefBytes = 4 * i.Parameters
	o, err := parse(nil, nil)
	if err != nil {
		return i, err
	}
	for _, f := range ref.KVFormats() {
		global, window := ref.KVBytesPerToken(i.Config, f)
		size := KVSize{Format: f.Name, Global: global, Window: window}
		cfg := o.engine
		cfg.Model = shape{config: i.Config, global: global, window: window}
		if size.FullBytes, err = cfg.FullContextBytes(); err != nil {
			return i, err
		}
		if size.DefaultBytes, err = kvBytes(cfg); err != nil {
			return i, err
		}
		i.KV = append(i.KV, size)
	}
	return i, nil
}

// shape is a model that can be asked for its sizes alone.
type shape struct {
	engine.Model
	config         checkpoint.Config
	global, window int
}

func (s shape) Vocab() int                  { return s.config.VocabSize }
func (s shape) Context() int                { return s.config.MaxPositions }
func (s shape) Window() int                 { return s.config.SlidingWindow }
func (s shape) KVBytesPerToken() (int, int) { return s.global, s.window }

// String returns a short description of the network.
func (i Inspection) String() string {
	c := i.Config
	layers := fmt.Sprintf("%d layers", c.Layers)
	sliding := 0
	for _, s := range c.LayerSliding {
		if s {
			sliding++
		}
	}
	if sliding > 0 {
		layers += fmt.Sprintf(", %d of them with a window of %d tokens", sliding, c.SlidingWindow)
	}
	return fmt.Sprintf("%s, %s, %d heads over %d KV heads of %d, a vocabulary of %d",
		c.ModelType, layers, c.Heads, c.KVHeads, c.HeadDim, c.VocabSize)
}
