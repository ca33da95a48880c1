"""Splits a Llama over processes with MLX's ring, and measures what that costs.

    split.py collectives       time and bytes of all_sum between two processes, by size
    split.py tokens FOLDER     greedy tokens of one process and of two, and the time of each

The processes are on this machine and talk by TCP on 127.0.0.1, or where SPLIT_AT says: NAMESPACE=ADDRESS
for each process, with blanks between (see links). FOLDER is a model folder of the
family Llama, such as that of `loadstone model pull smollm2`; its weights are widened to float32.

Of each layer a process has the query and KV heads that are its own, with the matching rows of q, k
and v and the matching columns of o, and its part of the MLP: rows of gate and up, columns of down.
What o and down make is a part of a sum, which all_sum adds up: two collectives a layer, of hidden
size x tokens. Embedding, norms and head are the same in all.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import mlx.core as mx

PROCESSES = 2
PROMPT = [504, 2365, 6354, 16438, 27003, 690, 260, 23790, 2767, 30, 198, 504, 2988, 282, 4649, 314]
ANSWER = 64  # tokens


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def places():
    """Returns for each process what begins its command line, and its address."""
    at = [p.split("=") for p in os.environ.get("SPLIT_AT", "").split()]
    if not at:
        return [([], "127.0.0.1")] * PROCESSES
    return [(["ip", "netns", "exec", name], address) for name, address in at]


def together(*args):
    """Runs this program in PROCESSES processes and returns what the first one prints, as JSON."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as hosts:
        json.dump([[f"{address}:{free_port()}"] for _, address in places()], hosts)
        hosts.flush()
        run = []
        for rank, (begin, _) in enumerate(places()):
            env = dict(os.environ, MLX_RANK=str(rank), MLX_HOSTFILE=hosts.name)
            run.append(subprocess.Popen([*begin, sys.executable, __file__, "part", *args], env=env,
                                        stdout=subprocess.PIPE, text=True))
        texts = [p.communicate(timeout=600)[0] for p in run]
        if any(p.returncode for p in run):
            sys.exit(f"a process failed: {[p.returncode for p in run]}")
        return [json.loads(t) for t in texts]


def bytes_sent():
    """Returns the bytes that this process has sent, with the headers of TCP and IP, if nobody else sends
    where it is but, on loopback, the other process, as much."""
    sent = 0
    with open("/proc/net/dev") as f:
        for line in f:
            name, _, numbers = line.partition(":")
            if numbers:
                sent += int(numbers.split()[8])
    return sent if "SPLIT_AT" in os.environ else sent / PROCESSES


def collectives(group):
    found = []
    for n in [1, 64, 576, 640, 1024, 2048, 4096, 8192, 65536, 576 * 256, 2048 * 256]:
        x = mx.ones((n,))
        mx.eval(x)
        times, repeat = [], 200 if n < 100_000 else 20
        for _ in range(3):
            mx.eval(mx.distributed.all_sum(x, group=group))
        before = bytes_sent()
        for _ in range(repeat):
            began = time.perf_counter()
            mx.eval(mx.distributed.all_sum(x, group=group))
            times.append(time.perf_counter() - began)
        sent = (bytes_sent() - before) / repeat
        found.append(dict(floats=n, least=min(times), median=statistics.median(times), bytes=sent))
    # As in a step: each collective waits for the one before, and all are asked for at once.
    chain = {}
    for hidden in [576, 2048]:
        times = []
        for _ in range(20):
            y = mx.ones((hidden,))
            began = time.perf_counter()
            for _ in range(60):
                y = mx.distributed.all_sum(y, group=group) * 0.5
            mx.eval(y)
            times.append((time.perf_counter() - began) / 60)
        chain[hidden] = statistics.median(times)
    return dict(single=found, chained=chain)


class Llama:
    def __init__(self, folder, group):
        with open(os.path.join(folder, "config.json")) as f:
            self.c = c = json.load(f)
        self.group, rank, size = group, group.rank(), group.size()
        self.layers, self.kv, self.dim = c["num_hidden_layers"], c["num_key_value_heads"], c["head_dim"]
        self.scale = self.dim**-0.5
        stored = mx.load(os.path.join(folder, "model.safetensors"))
        quantised = c.get("quantization", {})

        def weight(name):
            w = stored[name + ".weight"]
            if name + ".scales" in stored:
                q = quantised.get(name, quantised)
                w = mx.dequantize(w, stored[name + ".scales"], stored[name + ".biases"],
                                  group_size=q["group_size"], bits=q["bits"])
            return w.astype(mx.float32)

        def share(n):  # of n things in a row: those from, and those up to
            return n * rank // size, n * (rank + 1) // size

        each = c["num_attention_heads"] // self.kv
        kv_from, kv_to = share(self.kv)
        self.heads, self.kv = (kv_to - kv_from) * each, kv_to - kv_from
        q_from, q_to = kv_from * each * self.dim, kv_to * each * self.dim
        k_from, k_to = kv_from * self.dim, kv_to * self.dim
        i_from, i_to = share(c["intermediate_size"])
        self.embed, self.norm = weight("model.embed_tokens"), stored["model.norm.weight"].astype(mx.float32)
        self.weights = []
        for i in range(self.layers):
            at = f"model.layers.{i}."
            self.weights.append(dict(
                norm1=stored[at + "input_layernorm.weight"].astype(mx.float32),
                norm2=stored[at + "post_attention_layernorm.weight"].astype(mx.float32),
                q=weight(at + "self_attn.q_proj")[q_from:q_to],
                k=weight(at + "self_attn.k_proj")[k_from:k_to],
                v=weight(at + "self_attn.v_proj")[k_from:k_to],
                o=mx.contiguous(weight(at + "self_attn.o_proj")[:, q_from:q_to]),
                gate=weight(at + "mlp.gate_proj")[i_from:i_to],
                up=weight(at + "mlp.up_proj")[i_from:i_to],
                down=mx.contiguous(weight(at + "mlp.down_proj")[:, i_from:i_to])))
        mx.eval(self.embed, self.norm, self.weights)
        self.cache = [None] * self.layers

    def sum(self, x):
        return mx.distributed.all_sum(x, group=self.group) if self.group.size() > 1 else x

    def step(self, tokens, at):
        """Returns the logits after the last of tokens, which begin at position at."""
        n, eps = len(tokens), self.c["rms_norm_eps"]
        h = self.embed[mx.array(tokens)]
        for i, w in enumerate(self.weights):
            x = mx.fast.rms_norm(h, w["norm1"], eps)

            def heads(name, count):
                return mx.swapaxes((x @ w[name].T).reshape(n, count, self.dim), 0, 1)[None]

            def rope(y):
                return mx.fast.rope(y, self.dim, traditional=False, base=self.c["rope_theta"], scale=1.0,
                                    offset=at)

            q, k, v = rope(heads("q", self.heads)), rope(heads("k", self.kv)), heads("v", self.kv)
            if self.cache[i] is not None:
                k = mx.concatenate([self.cache[i][0], k], axis=2)
                v = mx.concatenate([self.cache[i][1], v], axis=2)
            self.cache[i] = (k, v)
            y = mx.fast.scaled_dot_product_attention(q, k, v, scale=self.scale,
                                                     mask="causal" if n > 1 else None)
            y = mx.swapaxes(y[0], 0, 1).reshape(n, self.heads * self.dim)
            h = h + self.sum(y @ w["o"].T)
            x = mx.fast.rms_norm(h, w["norm2"], eps)
            gate = x @ w["gate"].T
            h = h + self.sum((gate * mx.sigmoid(gate) * (x @ w["up"].T)) @ w["down"].T)
        return mx.fast.rms_norm(h[-1:], self.norm, eps) @ self.embed.T


def answer(folder, group):
    m = Llama(folder, group)
    began = time.perf_counter()
    logits = m.step(PROMPT, 0)
    mx.eval(logits)
    first = time.perf_counter() - began
    tokens, rows, times = [], [], []
    for i in range(ANSWER):
        rows.append(logits[0].tolist())
        tokens.append(int(mx.argmax(logits[0])))
        began = time.perf_counter()
        logits = m.step(tokens[-1:], len(PROMPT) + i)
        mx.eval(logits, m.cache)
        times.append(time.perf_counter() - began)
    return dict(tokens=tokens, rows=rows, first=first, token=statistics.median(times))


def part(what, *args):
    group = mx.distributed.init(backend="ring", strict=True)
    assert group.size() == PROCESSES
    return collectives(group) if what == "collectives" else answer(*args, group)


def show_tokens(folder):
    alone = answer(folder, mx.distributed.init())
    split = together("tokens", folder)
    a, b = alone["rows"], split[0]["rows"]
    apart = max(abs(x - y) for r, s in zip(a, b) for x, y in zip(r, s))
    top = [sorted(r)[-2:] for r in a]
    print(f"tokens of one process   {alone['tokens']}")
    print(f"tokens of {PROCESSES} processes   {split[0]['tokens']}")
    print(f"the same tokens: {alone['tokens'] == split[0]['tokens']}")
    print(f"all processes have the same logits, bitwise: {all(s['rows'] == b for s in split)}")
    print(f"logits bitwise those of one process: {a == b}; largest difference {apart:.2g}, "
          f"smallest lead of a token {min(t[1] - t[0] for t in top):.2g}")
    print(f"time of a token: one process {alone['token'] * 1e3:.2f} ms, {PROCESSES} processes "
          f"{split[0]['token'] * 1e3:.2f} ms")


def show_collectives():
    found = together("collectives")[0]
    print("floats   least us   median us   bytes that each sends")
    for x in found["single"]:
        print(f"{x['floats']:6}   {x['least'] * 1e6:8.0f}   {x['median'] * 1e6:9.0f}   {x['bytes']:9.0f}")
    for hidden, t in found["chained"].items():
        print(f"one of 60 in a row, {hidden} floats: {t * 1e6:.0f} us")


def main():
    match sys.argv[1:]:
        case ["part", *args]:
            json.dump(part(*args), sys.stdout)
        case ["collectives"]:
            show_collectives()
        case ["tokens", folder]:
            show_tokens(folder)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
