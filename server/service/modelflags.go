package service

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"net"
	"strings"
)

// modelFlags declares the flags of what is served, and of what runs it.
func (o *options) modelFlags(f *flag.FlagSet) {
	f.StringVar(&o.model, "model", "tiny",
		"`model` to serve: a name that 'loadstone model list' knows, or a checkpoint folder")
	f.Func("alias", "further `name` under which the model is served; may be given more than once; "+
		"* is any name", func(name string) error {
		if name == "" {
			return errors.New("want a name")
		}
		o.aliases = append(o.aliases, name)
		return nil
	})
	f.StringVar(&o.network.backend, "backend", "auto",
		"`backend` that runs the model: mlx (MLX), ref (pure Go), or auto: mlx where this build "+
			"has it, ref elsewhere. metal, the old name of mlx, is accepted for one more release")
	f.StringVar(&o.network.kv, "kv", "auto",
		"`format` of the KV cache, in memory and on disk: "+strings.Join(KVFormats(), ", ")+
			" (q8 and q4 have 8 and 4 bits in groups of 64), "+
			"or auto: the one in which the backend computes")
	f.IntVar(&o.network.activations, "activations", 8, "`bits`, 8 or 16, to which the mlx backend "+
		"rounds activations on a CPU beside quantised weights. With 16, answers are those of "+
		"float32 but for near ties, and prompts take about twice as long; ref rounds nothing")
	f.Func("parts", "`addresses`, HOST:PORT,HOST:PORT, of processes that each compute a part of "+
		"the model, which is then larger than any of them could have. All get the same list; the "+
		"first one serves, and listens for the others at the next port as well. On the mlx "+
		"backend; without encryption or keys, so for a network of your own",
		func(list string) error { o.network.part.Hosts = splitList(list); return nil })
	f.IntVar(&o.network.part.Rank, "part", 0, "`number` of this process in -parts, from 0. Other "+
		"than 0 it listens to nobody but the others, and ends with the first one")
}

// checkModel puts a backend's name for auto.
func (o *options) checkModel() error {
	o.network.backend = Backend(o.network.backend)
	if err := checkBackend(o.network.backend); err != nil {
		return err
	}
	if err := checkKVFormat(o.network.kv); err != nil {
		return err
	}
	if a := o.network.activations; a != 8 && a != 16 {
		return fmt.Errorf("-activations is %d; want 8 or 16", a)
	}
	return checkPart(o.network)
}

// checkPart checks which part of a model this process is to have.
func checkPart(n network) error {
	p := n.part
	for _, host := range p.Hosts {
		if _, _, err := net.SplitHostPort(host); err != nil {
			return fmt.Errorf("-parts: %q is no address; want one like 10.0.0.1:9000", host)
		}
	}
	switch {
	case len(p.Hosts) == 0 && p.Rank == 0:
		return nil
	case len(p.Hosts) < 2:
		return errors.New("-parts needs two addresses or more, HOST:PORT,HOST:PORT")
	case p.Rank < 0 || p.Rank >= len(p.Hosts):
		return fmt.Errorf("-part is %d; -parts has parts 0 to %d", p.Rank, len(p.Hosts)-1)
	case n.backend != BackendMLX:
		return fmt.Errorf("-parts is for the mlx backend, not for %s", n.backend)
	}
	return nil
}

// batchFlags declares the flags of how much is computed, and how many requests wait for it.
func (o *options) batchFlags(f *flag.FlagSet) {
	f.Var((*byteSize)(&o.engine.KVBytes), "kv-bytes", "`size` of the KV cache, such as 512MiB; "+
		"by default what one full context of the model takes, at least 256MiB and at most 4GiB")
	f.IntVar(&o.engine.BlockTokens, "block-tokens", 32, "tokens in a block of the KV cache")
	f.IntVar(&o.engine.MaxBatch, "max-batch", 32, "requests that may run at once")
	f.IntVar(&o.engine.StepTokens, "step-tokens", 256,
		"largest number of tokens in one step of the model; "+
			"beside running answers, prompts get fewer, depending on what steps cost")
	f.BoolVar(&o.engine.NoDrafts, "no-drafts", false,
		"compute one token of an answer in each step, and no draft of those that may follow. Answers "+
			"are the same; drafts repeat what the prompt or the answer has, and are not made where "+
			"they cost more than they save")
	f.IntVar(&o.engine.MaxQueue, "max-queue", 512, "requests that may wait; further ones get 429")
	f.IntVar(&o.engine.MaxPerAgent, "max-per-agent", 0,
		"requests of one agent that may wait or run; "+
			"further ones get 429; 0 is no limit")
	f.IntVar(&o.maxTokens, "max-tokens", 0, "longest answer to a request that names no length; "+
		"0: such an answer may go to the end of the model's context")
}

func (o *options) checkBatch() error {
	return cmp.Or(
		atLeast("block-tokens", o.engine.BlockTokens, 1),
		atLeast("max-batch", o.engine.MaxBatch, 1),
		atLeast("step-tokens", o.engine.StepTokens, 1),
		atLeast("max-queue", o.engine.MaxQueue, 1),
		atLeast("max-per-agent", o.engine.MaxPerAgent, 0),
		atLeast("max-tokens", o.maxTokens, 0),
	)
}
