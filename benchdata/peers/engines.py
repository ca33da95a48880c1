"""Measures prefill and decode of a peer's engine, in process.

    engines.py llama.cpp  --gguf FILE   --model NAME
    engines.py mlx-lm     --folder DIR  --model NAME [--short]
    engines.py ENGINE ... --streams [--only N] [--prompt N] [--answer N]

The output is in the Go benchmark format, one line a repetition. Names and units are those of
metal's own benchmarks, so that benchstat sets them side by side. A decode step computes one greedy
token for each sequence of a batch, all with histories of one length, with logits of every row. A
prefill computes one prompt into an empty cache, with logits of its last token alone. Loading and
one warm-up are not timed. GB/s is the rate at which weights are read, if each is read once a step.
With --streams it does what BenchmarkStreams does: one stream and four, each with a prompt of 512
tokens and an answer of 64. --only N measures N streams alone.
"""

import argparse
import os
import pathlib
import time

PROMPTS = (128, 512, 2048)
DECODES = ((128, 1), (128, 4), (128, 8), (4096, 1))  # history, batch
STEPS = 16  # of decode in a repetition


def tokens(n, vocab):
    """n token ids, spread over the vocabulary, the same at every call."""
    return [(7919 * i + 104729) % (vocab - 1000) + 500 for i in range(n)]


def report(name, seconds, count, weights=0):
    rate = f" {weights / seconds / 1e9:.2f} GB/s" if weights else ""
    print(f"Benchmark{name} 1 {seconds * 1e9:.0f} ns/op {count / seconds:.2f} tok/s{rate}",
          flush=True)


def silence(c):
    """Keeps llama.cpp from logging as long as the result, which C refers to, is kept."""
    quiet = c.llama_log_callback(lambda level, text, data: None)
    c.llama_log_set(quiet, None)
    return quiet


class LlamaCpp:
    """llama.cpp through its C API: llama_decode on batches made by hand, as llama-bench does it."""

    def __init__(self, path, threads):
        import llama_cpp

        self.c = c = llama_cpp
        self.threads = threads
        c.llama_backend_init()
        self.quiet = silence(c)
        self.model = c.llama_model_load_from_file(path.encode(), c.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"{path}: llama.cpp cannot load it")
        self.weights = c.llama_model_size(self.model)
        self.vocab = c.llama_vocab_n_tokens(c.llama_model_get_vocab(self.model))
        self.batch = c.llama_batch_init(2048, 0, 1)
        self.context = None

    def begin(self, length, batch):
        """Makes an empty cache for batch sequences of length tokens each: llama.cpp divides a
        context evenly among its sequences."""
        c = self.c
        if self.context:
            c.llama_free(self.context)
        params = c.llama_context_default_params()
        params.n_ctx, params.n_seq_max = batch * (-(-length // 256) * 256), batch
        params.n_batch, params.n_ubatch = 2048, 512
        params.n_threads = params.n_threads_batch = self.threads
        # Sliding layers keep their window alone, as in llama-server and llama-bench.
        params.swa_full = False
        self.context = c.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit(f"llama.cpp makes no context of {batch} times {length} tokens")

    def step(self, items):
        """items: (token, position, sequence, wants logits) each."""
        b = self.batch
        b.n_tokens = len(items)
        for i, (token, position, sequence, logits) in enumerate(items):
            b.token[i], b.pos[i], b.logits[i] = token, position, logits
            b.n_seq_id[i], b.seq_id[i][0] = 1, sequence
        if code := self.c.llama_decode(self.context, b):
            raise SystemExit(f"llama_decode: {code}")
        self.c.llama_synchronize(self.context)

    def prefill(self, ids, batch=1):
        for sequence in range(batch):
            for at in range(0, len(ids), 2048):
                part = ids[at : at + 2048]
                last = len(ids) - 1
                self.step([(t, at + i, sequence, at + i == last) for i, t in enumerate(part)])

    def decode(self, position, batch):
        self.step([(100 + s, position, s, True) for s in range(batch)])


class MLXLM:
    """mlx-lm on an MLX folder: its model and its KV cache."""

    def __init__(self, folder):
        import mlx.core as mx
        from mlx.utils import tree_flatten
        from mlx_lm.models.cache import make_prompt_cache
        from mlx_lm.utils import load_model

        mx.set_default_device(mx.cpu)
        self.mx, self.make = mx, make_prompt_cache
        self.model, _ = load_model(pathlib.Path(folder))
        self.vocab = self.model.args.vocab_size
        self.weights = sum(v.nbytes for _, v in tree_flatten(self.model.parameters()))

    def begin(self, length, batch):
        self.caches = self.make(self.model)

    def step(self, rows):
        logits = self.model(self.mx.array(rows), cache=self.caches)[:, -1]
        self.mx.eval(logits, [c.state for c in self.caches])

    def prefill(self, ids, batch=1):
        self.step([ids] * batch)

    def decode(self, position, batch):
        self.step([[100 + s] for s in range(batch)])


def timed(f, *args):
    start = time.perf_counter()
    f(*args)
    return time.perf_counter() - start


def measure(engine, model, prompts, decodes):
    engine.begin(32, 1)
    engine.prefill(tokens(32, engine.vocab))
    for n in prompts:
        engine.begin(n, 1)
        took = timed(engine.prefill, tokens(n, engine.vocab))
        report(f"Prefill/model={model}/prompt={n}", took, n)
    for history, batch in decodes:
        engine.begin(history + 1 + STEPS, batch)
        engine.prefill(tokens(history, engine.vocab), batch)
        engine.decode(history, batch)
        took = sum(timed(engine.decode, history + 1 + i, batch) for i in range(STEPS))
        name = f"Decode/model={model}/history={history}/batch={batch}"
        report(name, took / STEPS, batch, engine.weights)


def streams(engine, model, prompt, answer, numbers):
    engine.begin(32, 1)
    engine.prefill(tokens(32, engine.vocab))
    for n in numbers:
        name = f"model={model}/streams={n}"
        engine.begin(prompt + answer, n)
        took = timed(engine.prefill, tokens(prompt, engine.vocab), n)
        report(f"Streams/part=prefill/{name}", took, prompt * n)
        took = sum(timed(engine.decode, prompt + i, n) for i in range(answer))
        report(f"Streams/part=decode/{name}", took, answer * n)


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("engine", choices=("llama.cpp", "mlx-lm"))
    p.add_argument("--gguf")
    p.add_argument("--folder")
    p.add_argument("--model", required=True, help="name in the benchmark lines")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--short", action="store_true", help="the shortest prompt and history alone")
    p.add_argument("--streams", action="store_true")
    p.add_argument("--only", type=int)
    p.add_argument("--prompt", type=int, default=512)
    p.add_argument("--answer", type=int, default=64)
    a = p.parse_args()
    engine = LlamaCpp(a.gguf, a.threads) if a.engine == "llama.cpp" else MLXLM(a.folder)
    if a.streams:
        streams(engine, a.model, a.prompt, a.answer, (a.only,) if a.only else (1, 4))
    elif a.short:
        measure(engine, a.model, PROMPTS[:1], DECODES[:1])
    else:
        measure(engine, a.model, PROMPTS, DECODES)


if __name__ == "__main__":
    main()
