"""Writes a GGUF file with random weights of 4 bits (Q4_0) in the shape of a published model.

    shapes.py MODEL FILE

MODEL is llama-3.2-1b, qwen3-0.6b or gemma-3-12b. Every matrix is Q4_0, also the embedding, which is
the head too; norms are float32. Blocks are random bytes with scales so that weights deviate by
0.02, as in an untrained model. The vocabulary is made up. `loadstone model import` makes a folder
as mlx-lm reads it from the file, with the same numbers.
"""

import functools
import sys

import gguf
import numpy as np

SHAPES = {
    "llama-3.2-1b": dict(arch="llama", vocab=128256, hidden=2048, layers=16, heads=32, kv=8, dim=64,
                         inner=8192, theta=5e5, eps=1e-5, norms=False),
    "qwen3-0.6b": dict(arch="qwen3", vocab=151936, hidden=1024, layers=28, heads=16, kv=8, dim=128,
                       inner=3072, theta=1e6, eps=1e-6, norms=True),
    "gemma-3-12b": dict(arch="gemma3", vocab=262208, hidden=3840, layers=48, heads=16, kv=8,
                        dim=256, inner=15360, theta=1e6, eps=1e-6, norms=True, window=1024,
                        scaling=8),
}


# Cached, so that matrices of one shape share their numbers: 12 billion of them would fill the
# memory.
@functools.cache
def q4_0(rows, columns):
    """Returns random blocks of 32 weights: a float16 scale and 16 bytes with two codes each."""
    rng = np.random.default_rng(rows * columns)
    blocks = np.empty((rows, columns // 32, 18), np.uint8)
    blocks[:, :, 2:] = rng.integers(0, 256, (rows, columns // 32, 16), np.uint8)
    # Codes minus 8 deviate by 4.6 from their mean.
    scales = (0.02 / 4.6 * rng.uniform(0.8, 1.2, (rows, columns // 32))).astype(np.float16)
    blocks[:, :, :2] = scales[..., None].view(np.uint8)
    return blocks.reshape(rows, -1)


def vocabulary(n):
    """Returns the 256 characters of the byte-level alphabet, and words that are no words."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = [chr(b) for b in kept] + [chr(256 + i) for i in range(256 - len(kept))]
    return alphabet + ["!!"] + [f"<{i}>" for i in range(n - 257)]


def main():
    name, path = sys.argv[1:]
    s = SHAPES[name]
    w = gguf.GGUFWriter(path, s["arch"])
    w.add_block_count(s["layers"])
    w.add_context_length(8192)
    w.add_embedding_length(s["hidden"])
    w.add_feed_forward_length(s["inner"])
    w.add_head_count(s["heads"])
    w.add_head_count_kv(s["kv"])
    w.add_key_length(s["dim"])
    w.add_value_length(s["dim"])
    w.add_rope_dimension_count(s["dim"])
    w.add_rope_freq_base(s["theta"])
    w.add_layer_norm_rms_eps(s["eps"])
    if "window" in s:
        w.add_sliding_window(s["window"])
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(s["scaling"])
    w.add_vocab_size(s["vocab"])
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(vocabulary(s["vocab"]))
    w.add_token_types([1] * (s["vocab"] - 1) + [3])
    w.add_token_merges(["! !"])
    w.add_bos_token_id(s["vocab"] - 1)
    w.add_eos_token_id(s["vocab"] - 1)

    q, kv, e = s["heads"] * s["dim"], s["kv"] * s["dim"], s["hidden"]
    matrix = lambda name, rows, columns: w.add_tensor(
        name, q4_0(rows, columns), raw_dtype=gguf.GGMLQuantizationType.Q4_0)
    norm = lambda name, n: w.add_tensor(name, np.ones(n, np.float32))
    matrix("token_embd.weight", s["vocab"], e)
    norm("output_norm.weight", e)
    for i in range(s["layers"]):
        at = f"blk.{i}."
        norm(at + "attn_norm.weight", e)
        if "window" in s:
            norm(at + "post_attention_norm.weight", e)
            norm(at + "post_ffw_norm.weight", e)
        matrix(at + "attn_q.weight", q, e)
        matrix(at + "attn_k.weight", kv, e)
        matrix(at + "attn_v.weight", kv, e)
        matrix(at + "attn_output.weight", e, q)
        if s["norms"]:
            norm(at + "attn_q_norm.weight", s["dim"])
            norm(at + "attn_k_norm.weight", s["dim"])
        norm(at + "ffn_norm.weight", e)
        matrix(at + "ffn_gate.weight", s["inner"], e)
        matrix(at + "ffn_up.weight", s["inner"], e)
        matrix(at + "ffn_down.weight", e, s["inner"])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


main()
