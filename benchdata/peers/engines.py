"""Prefill and decode of a peer's engine, in process, in the Go benchmark format.

    engines.py llama.cpp  --gguf FILE   --model NAME
    engines.py mlx-lm     --folder DIR  --model NAME

One benchmark line is one repetition; names and units are those of metal's own benchmarks, so that benchstat sets them side
by side. A decode step is one token for each sequence of a batch, each with the same history, greedy, logits of every row;
a prefill is one prompt into an empty cache, logits of its last token alone. Loading and one warm-up of each are not timed.
mlx-lm multiplies on a CPU with scalar loops and gets the shortest of each.
"""

import argparse
import time

PROMPTS = (128, 512, 2048)
DECODES = ((128, 1), (128, 4), (128, 8), (4096, 1))  # history, batch
STEPS = 16  # of decode in a repetition


def tokens(n, vocab):
    """n token ids, spread over the vocabulary, the same at every call."""
    return [(7919 * i + 104729) % (vocab - 1000) + 500 for i in range(n)]


def report(name, seconds, count):
    print(f"Benchmark{name} 1 {seconds * 1e9:.0f} ns/op {count / seconds:.2f} tok/s", flush=True)


class LlamaCpp:
    """llama.cpp through its C API: llama_decode on batches made by hand, as llama-bench does it."""

    def __init__(self, path, threads):
        import llama_cpp

        self.c = c = llama_cpp
        c.llama_backend_init()
        self.quiet = c.llama_log_callback(lambda level, text, data: None)  # kept: C holds it
        c.llama_log_set(self.quiet, None)
        self.model = c.llama_model_load_from_file(path.encode(), c.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"{path}: llama.cpp cannot load it")
        params = c.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = 4096 + 8 * 512, 2048, 512
        params.n_seq_max = max(batch for _, batch in DECODES)
        params.n_threads = params.n_threads_batch = threads
        self.context = c.llama_init_from_model(self.model, params)
        self.memory = c.llama_get_memory(self.context)
        self.vocab = c.llama_vocab_n_tokens(c.llama_model_get_vocab(self.model))
        self.batch = c.llama_batch_init(2048, 0, 1)

    def forget(self):
        self.c.llama_memory_clear(self.memory, False)

    def step(self, items):
        """items: (token, position, sequence, wants logits) each."""
        b = self.batch
        b.n_tokens = len(items)
        for i, (token, position, sequence, logits) in enumerate(items):
            b.token[i], b.pos[i], b.n_seq_id[i], b.seq_id[i][0], b.logits[i] = token, position, 1, sequence, logits
        if code := self.c.llama_decode(self.context, b):
            raise SystemExit(f"llama_decode: {code}")
        self.c.llama_synchronize(self.context)

    def prefill(self, ids, sequence=0):
        for at in range(0, len(ids), 2048):
            part = ids[at : at + 2048]
            self.step([(t, at + i, sequence, at + i == len(ids) - 1) for i, t in enumerate(part)])

    def decode(self, position, batch):
        self.step([(100 + s, position, s, True) for s in range(batch)])


class MLXLM:
    """mlx-lm on an MLX folder: its model and its KV cache, one sequence."""

    def __init__(self, folder):
        import mlx.core as mx
        from mlx_lm.models.cache import make_prompt_cache
        from mlx_lm.utils import load

        mx.set_default_device(mx.cpu)
        self.mx, self.make = mx, make_prompt_cache
        self.model, _ = load(folder)
        self.vocab = self.model.args.vocab_size
        self.caches = None

    def forget(self):
        self.caches = None

    def prefill(self, ids, sequence=0):
        if self.caches is None:
            self.caches = self.make(self.model)
        logits = self.model(self.mx.array([ids]), cache=self.caches)[:, -1]
        self.mx.eval(logits, [c.state for c in self.caches])

    def decode(self, position, batch):
        self.prefill([100])


def timed(f, *args):
    start = time.perf_counter()
    f(*args)
    return time.perf_counter() - start


def measure(engine, model, repetitions, prompts, decodes):
    engine.prefill(tokens(32, engine.vocab))
    for n in prompts:
        for _ in range(repetitions):
            engine.forget()
            report(f"Prefill/model={model}/prompt={n}", timed(engine.prefill, tokens(n, engine.vocab)), n)
    for history, batch in decodes:
        engine.forget()
        for s in range(batch):
            engine.prefill(tokens(history, engine.vocab), s)
        engine.decode(history, batch)
        at = history + 1
        for _ in range(repetitions):
            took = 0
            for _ in range(STEPS):
                took += timed(engine.decode, at, batch)
                at += 1
            report(f"Decode/model={model}/history={history}/batch={batch}", took / STEPS, batch)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("engine", choices=("llama.cpp", "mlx-lm"))
    p.add_argument("--gguf")
    p.add_argument("--folder")
    p.add_argument("--model", required=True, help="name in the benchmark lines")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("-n", type=int, default=6, help="repetitions")
    a = p.parse_args()
    print(f"engine: {a.engine}")
    if a.engine == "llama.cpp":
        measure(LlamaCpp(a.gguf, a.threads), a.model, a.n, PROMPTS, DECODES)
    else:
        # 128 tokens of prompt take it the better part of a minute.
        measure(MLXLM(a.folder), a.model, 1, PROMPTS[:1], DECODES[:1])


main()
