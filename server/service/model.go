package service

import (
	"fmt"
	"sync"

	"loadstone/engine"
	"loadstone/engine/catalog"
	"loadstone/engine/checkpoint"
	"loadstone/engine/ref"
	"loadstone/engine/tokenizer"
	"loadstone/metal"
)

// loaded is a model that is ready to serve, or why there is none.
type loaded struct {
	engine *engine.Engine
	text   *tokenizer.Model
	kv     string // format of the cache
	err    error
}

// load reads the model's weights and, beside them, its text, and starts an engine over both. progress is called with how
// much of the weights has been read.
func load(src catalog.Source, backend, kv string, cfg engine.Config, progress func(done, total int64)) loaded {
	var t *tokenizer.Model
	var textErr error
	var reading sync.WaitGroup
	reading.Go(func() { t, textErr = tokenizer.Load(src.FS) })
	m, err := open(src, backend, kv, progress)
	reading.Wait()
	if err != nil {
		return loaded{err: fmt.Errorf("model %s on %s: %w", src.Name, backend, err)}
	}
	if textErr != nil {
		m.Close()
		return loaded{err: fmt.Errorf("model %s: %w", src.Name, textErr)}
	}
	if cfg.Fingerprint, err = fingerprint(src.FS, backend, m.KVFormat()); err != nil {
		m.Close()
		return loaded{err: fmt.Errorf("model %s: %w", src.Name, err)}
	}
	cfg.Model = m
	e, err := engine.New(cfg)
	if err != nil {
		m.Close()
		return loaded{err: err}
	}
	return loaded{engine: e, text: t, kv: m.KVFormat()}
}

// A model that can also say how it stores its KV: what auto has come to.
type model interface {
	engine.Model
	KVFormat() string
}

func open(src catalog.Source, backend, kv string, progress func(done, total int64)) (model, error) {
	if backend == "ref" {
		if kv == "auto" {
			kv = "f32"
		}
		c, err := checkpoint.Open(src.FS)
		if err != nil {
			return nil, err
		}
		c.Progress = progress
		return ref.New(c, kv)
	}
	dir, remove, err := src.Folder() // MLX reads files by their names
	if err != nil {
		return nil, err
	}
	defer remove()
	return metal.Open(dir, kv, progress)
}
