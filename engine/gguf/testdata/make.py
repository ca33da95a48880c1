"""Makes the .gguf files of this folder with the Python package gguf 0.19.0 and numpy 2:

    python3 make.py

quants.gguf  metadata of every value type; for each quantisation a tensor of random blocks and, as
             NAME.want, the elements that gguf.dequantize makes of it
llama.gguf   a Llama of one layer with a byte-level tokenizer; q and k are permuted, as llama.cpp's
             converter writes them
gemma3.gguf  a Gemma 3 of one layer with a SentencePiece tokenizer; norms are stored as 1+w

In the models, element k of a Hugging Face tensor is crc32(name) % 4096 + k, so a reader knows all
values.
"""

import zlib
from importlib.metadata import version

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q, GGUFValueType as V

assert version("gguf") == "0.19.0", version("gguf")


def write(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def halves(rng, shape):
    """Returns random float16 scales of all sizes, subnormal but not infinite ones included, as
    bytes."""
    bits = rng.integers(0, 0x7BFF, shape, dtype=np.uint16) | (
        rng.integers(0, 2, shape, dtype=np.uint16) << 15
    )
    return bits.view(np.uint8)


def quants():
    rng = np.random.default_rng(3)
    w = gguf.GGUFWriter("quants.gguf", "none")
    for name, value in {
        "UINT8": 200,
        "INT8": -100,
        "UINT16": 60000,
        "INT16": -30000,
        "UINT32": 4000000000,
        "INT32": -2000000000,
        "UINT64": 2**63 + 1,
        "INT64": -(2**63),
        "FLOAT32": 0.1,
        "FLOAT64": 0.1,
        "BOOL": True,
        "STRING": "grüße",
    }.items():
        w.add_key_value("test." + name.lower(), value, V[name])
        if name not in ("STRING", "BOOL"):
            w.add_key_value(f"test.array.{name.lower()}", [value, 1], V.ARRAY, V[name])
    w.add_array("test.array.bool", [True, False])
    w.add_array("test.array.string", ["a", "", "ü"])
    w.add_array("test.array.array", [[1, 2], [3]])
    # The offsets of the float16 scales in a block.
    scales = {
        Q.Q4_0: [0],
        Q.Q4_1: [0, 2],
        Q.Q5_0: [0],
        Q.Q5_1: [0, 2],
        Q.Q8_0: [0],
        Q.Q2_K: [80, 82],
        Q.Q3_K: [108],
        Q.Q4_K: [0, 2],
        Q.Q5_K: [0, 2],
        Q.Q6_K: [208],
        Q.IQ4_NL: [0],
        Q.IQ4_XS: [0],
        Q.TQ1_0: [52],
        Q.TQ2_0: [64],
        Q.MXFP4: [],
    }
    for q, places in scales.items():
        elements, size = gguf.GGML_QUANT_SIZES[q]
        blocks = rng.integers(0, 256, (768 // elements, size), dtype=np.uint8)
        if q == Q.MXFP4:
            blocks[:, 0] = blocks[:, 0] % 250  # of exponents whose products are finite
        for p in places:
            blocks[:, p : p + 2] = halves(rng, (len(blocks), 1))
        data = blocks.reshape(3, -1)
        w.add_tensor(q.name, data, raw_dtype=q)
        w.add_tensor(q.name + ".want", gguf.dequantize(data, q).reshape(3, 256))
    half = np.arange(0, 65536, 37, dtype=np.uint16)
    # Infinities and NaN are tested elsewhere, because NaN does not equal itself.
    half = half[(half & 0x7C00) != 0x7C00]
    w.add_tensor("F16", half.view(np.float16))
    w.add_tensor("F16.want", half.view(np.float16).astype(np.float32))
    w.add_tensor("BF16", half.view(np.uint8), raw_dtype=Q.BF16)
    w.add_tensor("BF16.want", gguf.dequantize(half.view(np.uint8), Q.BF16))
    write(w)


HIDDEN, INNER, HEADS, KV, DIM = 16, 32, 4, 2, 8


def value(name, *shape):
    n = int(np.prod(shape))
    return (np.arange(n, dtype=np.float32) + zlib.crc32(name.encode()) % 4096).reshape(shape)


def permute(x, heads):
    """Permutes q or k of a Llama as llama.cpp's convert_hf_to_gguf.py does."""
    return x.reshape(heads, 2, x.shape[0] // heads // 2, x.shape[1]).swapaxes(1, 2).reshape(x.shape)


def common(w, tokens, types):
    w.add_context_length(64)
    w.add_embedding_length(HIDDEN)
    w.add_block_count(1)
    w.add_feed_forward_length(INNER)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV)
    w.add_key_length(DIM)
    w.add_value_length(DIM)
    w.add_token_list(tokens)
    w.add_token_types(types)
    layer = "model.layers.0."
    w.add_tensor("token_embd.weight", value("model.embed_tokens.weight", len(tokens), HIDDEN))
    w.add_tensor("blk.0.attn_v.weight", value(layer + "self_attn.v_proj.weight", KV * DIM, HIDDEN))
    w.add_tensor(
        "blk.0.attn_output.weight", value(layer + "self_attn.o_proj.weight", HIDDEN, HEADS * DIM)
    )
    w.add_tensor("blk.0.ffn_gate.weight", value(layer + "mlp.gate_proj.weight", INNER, HIDDEN))
    w.add_tensor("blk.0.ffn_up.weight", value(layer + "mlp.up_proj.weight", INNER, HIDDEN))
    w.add_tensor("blk.0.ffn_down.weight", value(layer + "mlp.down_proj.weight", HIDDEN, INNER))


def llama():
    w = gguf.GGUFWriter("llama.gguf", "llama")
    tokens = (
        ["<|end|>", "<|start|>"]
        + [chr(c) for c in range(0x21, 0x7F)]
        + ["Ġ", "Ċ", "th", "the", "Ġthe"]
    )
    common(w, tokens, [3, 3] + [1] * (len(tokens) - 2))
    w.add_rope_freq_base(100000.0)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_merges(["t h", "th e", "Ġ the"])
    w.add_bos_token_id(1)
    w.add_eos_token_id(0)
    w.add_add_bos_token(False)
    w.add_chat_template("{% for m in messages %}<|start|>{{ m['content'] }}<|end|>{% endfor %}")
    layer = "model.layers.0."
    w.add_tensor(
        "blk.0.attn_q.weight",
        permute(value(layer + "self_attn.q_proj.weight", HEADS * DIM, HIDDEN), HEADS),
    )
    w.add_tensor(
        "blk.0.attn_k.weight",
        permute(value(layer + "self_attn.k_proj.weight", KV * DIM, HIDDEN), KV),
    )
    w.add_tensor("blk.0.attn_norm.weight", value(layer + "input_layernorm.weight", HIDDEN))
    w.add_tensor("blk.0.ffn_norm.weight", value(layer + "post_attention_layernorm.weight", HIDDEN))
    w.add_tensor("output_norm.weight", value("model.norm.weight", HIDDEN))
    write(w)


def gemma3():
    w = gguf.GGUFWriter("gemma3.gguf", "gemma3")
    named = [
        ("<pad>", 3),
        ("<eos>", 3),
        ("<bos>", 3),
        ("<unk>", 2),
        ("<turn>", 3),
        ("\n", 4),
        ("\n\n", 4),
        ("  ", 4),
        ("   ", 4),
    ]
    raw = [(f"<0x{b:02X}>", 6) for b in range(256)]
    scored = [("▁t", 1), ("he", 1), ("▁the", 1)] + [(c, 1) for c in "▁the"]
    tokens, types = zip(*(named + raw + scored))
    common(w, list(tokens), list(types))
    w.add_token_scores(
        [-1000.0] * len(named) + [0.0] * len(raw) + [-float(i) for i in range(len(scored))]
    )
    w.add_rope_freq_base(1000000.0)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_sliding_window(32)
    w.add_tokenizer_model("llama")
    w.add_pad_token_id(0)
    w.add_eos_token_id(1)
    w.add_bos_token_id(2)
    w.add_unk_token_id(3)
    w.add_eot_token_id(4)
    w.add_add_bos_token(True)
    w.add_add_space_prefix(False)
    layer = "model.layers.0."
    w.add_tensor(
        "blk.0.attn_q.weight", value(layer + "self_attn.q_proj.weight", HEADS * DIM, HIDDEN)
    )
    w.add_tensor("blk.0.attn_k.weight", value(layer + "self_attn.k_proj.weight", KV * DIM, HIDDEN))
    for stored, name, n in [
        ("blk.0.attn_q_norm", layer + "self_attn.q_norm", DIM),
        ("blk.0.attn_k_norm", layer + "self_attn.k_norm", DIM),
        ("blk.0.attn_norm", layer + "input_layernorm", HIDDEN),
        ("blk.0.post_attention_norm", layer + "post_attention_layernorm", HIDDEN),
        ("blk.0.ffn_norm", layer + "pre_feedforward_layernorm", HIDDEN),
        ("blk.0.post_ffw_norm", layer + "post_feedforward_layernorm", HIDDEN),
        ("output_norm", "model.norm", HIDDEN),
    ]:
        w.add_tensor(stored + ".weight", value(name + ".weight", n) + 1)
    write(w)


quants()
llama()
gemma3()
