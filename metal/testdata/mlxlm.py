"""Stores the results of mlx-lm with which TestMLXLM compares ours. Run it after a change of a model
folder or of a version.

    pip install mlx==0.32.4 mlx-cpu==0.32.4 mlx-lm==0.32.2
    python3 metal/testdata/mlxlm.py NAME MODEL_FOLDER          writes metal/testdata/mlxlm_NAME.json
    python3 metal/testdata/mlxlm.py --bench 512 MODEL_FOLDER   prints tokens per second of a prefill

NAME is smollm2 or gemma3-270m, and MODEL_FOLDER the folder that `loadstone model pull NAME` made.
"""

import json
import pathlib
import sys
import time
from importlib.metadata import version

import mlx.core as mx
import numpy as np
from mlx_lm import load
from mlx_lm.models.cache import make_prompt_cache

VERSIONS = {"mlx": "0.32.4", "mlx-lm": "0.32.2"}
TEXT = (
    "The lighthouse keeper counted the ships that passed before dawn. In the first hour there were "
    "three, in the second five, and after that the fog came in from the west and he could only "
    "listen for their bells. He wrote each one down"
)
# Ordinary prose of a few kinds, for perplexity.
PASSAGE = (
    "A river does not choose its bed once and for all. Every flood moves a little sand from the "
    "outer bank to the inner one, and after some hundred years a bend has become a loop that the "
    "water leaves behind as a lake. People who build beside rivers know this, and people who draw "
    "borders along them have often forgotten it. In 1864 two towns found themselves on the wrong "
    "side of the water overnight, with their churches, their mills and their debts. The court that "
    "had to decide took eleven years. It ruled that a border moves with a river that moves slowly, "
    "and stays where it was when the river jumps. To measure the speed of a current you need a "
    "float, a stopwatch and a known distance: drop the float in the middle, walk beside it, and "
    "divide. Do it five times and take the middle value, because the wind helps sometimes and "
    "hinders sometimes."
)
GREEDY, TOP, STRIDE = 32, 16, 997


def logits(model, ids, cache):
    out = model(mx.array([ids]), cache=cache)[0, -1].astype(mx.float32)
    mx.eval(out)
    return np.array(out)


def nll(model, ids):
    """Returns the mean negative log-likelihood of every token after the first, in nats."""
    out = model(mx.array([ids]))[0].astype(mx.float32)
    mx.eval(out)
    rows = np.array(out)[:-1].astype(np.float64)
    top = rows.max(axis=1)
    logsum = top + np.log(np.exp(rows - top[:, None]).sum(axis=1))
    return float((logsum - rows[np.arange(len(ids) - 1), ids[1:]]).mean())


def facts(row):
    """Returns the largest logits and every STRIDE-th one, with the digits that float32 has here."""
    top = np.argsort(-row, kind="stable")[:TOP]
    return {
        "top_ids": top.tolist(),
        "top": [round(float(row[i]), 5) for i in top],
        "every": [round(float(x), 5) for x in row[::STRIDE]],
    }


def golden(name, folder):
    for package, want in VERSIONS.items():
        if version(package) != want:
            sys.exit(
                f"mlxlm.py: {package} is {version(package)}, "
                f"the stored outputs were made with {want}"
            )
    model, tokenizer = load(folder)
    ids = tokenizer.encode(TEXT)
    cache = make_prompt_cache(model)
    row = logits(model, ids, cache)
    prefill, greedy, gap = facts(row), [], []
    for _ in range(GREEDY):
        best = int(row.argmax())
        greedy.append(best)
        second = np.partition(row, -2)[-2]
        gap.append(round(float(row[best] - second), 5))
        row = logits(model, [best], cache)
    out = {
        "versions": VERSIONS, "prompt": ids, "stride": STRIDE, "prefill": prefill,
        "greedy": greedy, "greedy_gap": gap, "after_greedy": facts(row),
        "passage": (passage := tokenizer.encode(PASSAGE)), "nll": round(nll(model, passage), 6),
    }
    path = pathlib.Path(__file__).parent / f"mlxlm_{name}.json"
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in out.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print("wrote", path)


def bench(n, folder):
    """Runs a whole prompt in one call, with logits of its last token only; see BenchmarkPrefill."""
    model, _ = load(folder)
    ids = [2 + i * 7919 % 40000 for i in range(n)]
    for _ in range(3):
        cache = make_prompt_cache(model)
        start = time.perf_counter()
        # As in mlx_lm.generate, only the logits of the last token are wanted, so that MLX computes no
        # others.
        model(mx.array([ids[:-1]]), cache=cache)
        mx.eval([c.state for c in cache])
        logits(model, ids[-1:], cache)
        took = time.perf_counter() - start
        print(f"{n} tokens in {took:.3f} s: {n / took:.2f} tok/s", flush=True)


if sys.argv[1:2] == ["--bench"]:
    bench(int(sys.argv[2]), sys.argv[3])
elif len(sys.argv) == 3:
    golden(*sys.argv[1:])
else:
    sys.exit(__doc__)
