package service

import (
	"context"
	"fmt"
	"sync"

	"loadstone/engine"
	"loadstone/engine/catalog"
	"loadstone/engine/checkpoint"
	"loadstone/engine/ref"
	"loadstone/engine/tokenizer"
	"loadstone/metal"
)

// loaded is a model that is ready to serve, or the reason why there is none.
type loaded struct {
	engine  *engine.Engine
	text    *tokenizer.Model
	kv      string // format of the cache
	kvBytes int64  // its size
	lacks   string // what the server cannot do for want of something in the folder, "" for nothing
	err     error
}

// A network says how the network of a model is to be computed.
type network struct {
	backend     string // BackendRef or BackendMLX
	kv          string // format of the KV cache, or KVAuto
	activations int    // bits; see metal.Options
	part        metal.Part
}

// load reads the model's weights and, at the same time, its tokenizer, and starts an engine over
// both. It calls progress with how many bytes of the weights have been read.
func load(src catalog.Source, n network, cfg engine.Config,
	progress func(done, total int64)) loaded {
	var text *tokenizer.Model
	var textErr error
	var reading sync.WaitGroup
	reading.Go(func() { text, textErr = tokenizer.Load(src.FS) })
	m, err := open(src, n, progress)
	reading.Wait()
	if err != nil {
		return loaded{err: fmt.Errorf("model %s on %s: %w", src.Name, n.backend, err)}
	}
	if textErr != nil {
		m.Close()
		return loaded{err: fmt.Errorf("model %s: %w", src.Name, inFolder(src, textErr))}
	}
	activations := 0
	if m, ok := m.(interface{ ActivationBits() int }); ok {
		activations = m.ActivationBits()
	}
	cfg.Fingerprint, err = fingerprint(src.FS, n.backend, m.KVFormat(), activations)
	if err != nil {
		m.Close()
		return loaded{err: fmt.Errorf("model %s: %w", src.Name, err)}
	}
	cfg.Model = m
	if cfg.KVBytes, err = kvBytes(cfg); err != nil {
		m.Close()
		return loaded{err: err}
	}
	e, err := engine.New(cfg)
	if err != nil {
		m.Close()
		return loaded{err: err}
	}
	return loaded{
		engine: e, text: text, kv: m.KVFormat(), kvBytes: cfg.KVBytes, lacks: lacks(src, text),
	}
}

// The size of the KV cache where the command line gives none is between these. The larger bound is
// for models of a long context, one of which would not fit into a small machine.
const (
	minKVBytes = 256 << 20
	maxKVBytes = 4 << 30
)

// kvBytes returns the size of the KV cache: what the command line gives, or what one request of the
// model's whole context takes.
func kvBytes(cfg engine.Config) (int64, error) {
	if cfg.KVBytes > 0 {
		return cfg.KVBytes, nil
	}
	full, err := cfg.FullContextBytes()
	if err != nil {
		return 0, err
	}
	// In whole MiB, for people to read.
	full = (full + 1<<20 - 1) >> 20 << 20
	return min(max(full, minKVBytes), maxKVBytes), nil
}

// lacks says at the start what requests would find out one by one.
func lacks(src catalog.Source, text *tokenizer.Model) string {
	if text.HasTemplate() {
		return ""
	}
	return fmt.Sprintf("model %s has no chat template: chats are refused, completions work; "+
		"add chat_template.jinja to its folder", src.Name)
}

// inFolder adds the folder to an error about a file in it.
func inFolder(src catalog.Source, err error) error {
	if src.Dir == "" {
		return err
	}
	return fmt.Errorf("%s: %w", src.Dir, err)
}

// A model also says how it stores its KV, which is what KVAuto stands for.
type model interface {
	engine.Model
	KVFormat() string
}

// open opens the model of a folder.
func open(src catalog.Source, n network, progress func(done, total int64)) (model, error) {
	if n.backend == BackendRef {
		if n.kv == KVAuto {
			n.kv = "f32"
		}
		m, err := openRef(src, n.kv, progress)
		if err != nil {
			return nil, inFolder(src, err) // as metal.Open says it
		}
		return m, nil
	}
	dir, remove, err := src.Folder() // MLX reads files by their names
	if err != nil {
		return nil, err
	}
	defer remove()
	o := n.options(progress)
	if len(n.part.Hosts) > 0 {
		return metal.OpenLead(dir, o)
	}
	return metal.Open(dir, o)
}

func (n network) options(progress func(done, total int64)) metal.Options {
	return metal.Options{KV: n.kv, Activations: n.activations, Part: n.part, Progress: progress}
}

// follow computes a part of a model other than the first, as long as the server that has the first
// one wants it.
func follow(ctx context.Context, src catalog.Source, n network) error {
	dir, remove, err := src.Folder()
	if err != nil {
		return err
	}
	defer remove()
	return metal.Follow(ctx, dir, n.options(nil))
}

func openRef(src catalog.Source, kv string, progress func(done, total int64)) (*ref.Model, error) {
	c, err := checkpoint.Open(src.FS)
	if err != nil {
		return nil, err
	}
	c.Progress = progress
	return ref.New(c, kv)
}
