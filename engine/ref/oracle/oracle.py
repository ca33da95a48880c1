"""Makes testdata/ beside this file: configurations of small networks of every family, and the
logits of Transformers for them, in float32.

The weights are a formula that oracle.go repeats, so they are not stored: once as floats, and once
quantised in MLX's form, in 3 to 8 bits and groups of 32 to 128 that differ from matrix to matrix.
Where mlx-lm computes the same network, this prints how far its logits are from Transformers'. Run it
with torch (any), transformers 5.24.0, mlx 0.32.4 (CPU) and mlx-lm 0.32.2:

    python engine/ref/oracle/oracle.py [--folders DIR] [KIND ...]

With --folders it also writes each network as a model folder.
"""

import argparse
import json
import pathlib
import re
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).parent
TOKENS = 40  # positions are past the original context wherever RoPE is scaled, and past windows

LLAMA3 = dict(
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=16,
)


def sizes(vocab, hidden, layers, heads, kv_heads, inner, **more):
    return dict(
        vocab_size=vocab,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=inner,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
    ) | more


YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)

# Sizes of rows are multiples of 32, for quantisation.
CONFIGS = {
    # A window shorter than the prompt, a hidden size whose square root bfloat16 cannot hold,
    # scaled positions in the one global layer.
    "gemma3": sizes(
        83, 96, 7, 6, 2, 64,
        model_type="gemma3_text",
        head_dim=32,
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        rope_local_base_freq=1e4,
        rope_scaling={"rope_type": "linear", "factor": 2.0},
        query_pre_attn_scalar=32,
        sliding_window=8,
        sliding_window_pattern=6,
        hidden_activation="gelu_pytorch_tanh",
        tie_word_embeddings=True,
    ),
    # A hidden size whose square root bfloat16 can hold: Transformers does not round it in float32.
    "gemma2": sizes(
        83, 64, 4, 4, 1, 96,
        model_type="gemma2",
        head_dim=32,
        rms_norm_eps=1e-6,
        rope_theta=1e4,
        query_pre_attn_scalar=32,
        sliding_window=8,
        attn_logit_softcapping=3.0,
        final_logit_softcapping=4.0,
        hidden_activation="gelu_pytorch_tanh",
        tie_word_embeddings=True,
    ),
    "llama": sizes(
        83, 96, 3, 6, 2, 64,
        model_type="llama",
        rms_norm_eps=1e-5,
        rope_theta=1e5,
        hidden_act="silu",
        tie_word_embeddings=False,
    ),
    # Llama 3.1 to 3.3: 7 heads a key head, tied.
    "llama3": sizes(
        83, 224, 3, 7, 1, 96,
        model_type="llama",
        rms_norm_eps=1e-5,
        rope_theta=5e5,
        rope_scaling=LLAMA3,
        tie_word_embeddings=True,
    ),
    # Biases everywhere, heads whose size is not the hidden size's share, YaRN.
    "llama-yarn": sizes(
        83, 96, 3, 6, 2, 64,
        model_type="llama",
        head_dim=32,
        rms_norm_eps=1e-5,
        rope_theta=1e4,
        rope_scaling=YARN,
        attention_bias=True,
        mlp_bias=True,
        tie_word_embeddings=False,
    ),
    "llama-dynamic": sizes(
        83, 96, 2, 3, 3, 64,
        model_type="llama",
        rms_norm_eps=1e-5,
        rope_theta=1e4,
        rope_scaling=dict(type="dynamic", factor=2.0),
        tie_word_embeddings=False,
    ),
    "qwen2": sizes(
        83, 224, 3, 7, 1, 96,
        model_type="qwen2",
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        tie_word_embeddings=True,
        sliding_window=8,
        use_sliding_window=False,
        max_window_layers=1,
    ),
    "qwen2-window": sizes(
        83, 96, 4, 6, 2, 64,
        model_type="qwen2",
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        tie_word_embeddings=False,
        sliding_window=8,
        use_sliding_window=True,
        max_window_layers=1,
    ),
    "qwen3": sizes(
        83, 64, 3, 7, 1, 96,
        model_type="qwen3",
        head_dim=32,
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        tie_word_embeddings=True,
    ),
    "qwen3-yarn": sizes(
        83, 64, 3, 6, 2, 96,
        model_type="qwen3",
        head_dim=16,
        rms_norm_eps=1e-6,
        rope_theta=1e4,
        rope_scaling=YARN,
        tie_word_embeddings=False,
    ),
    # A mixture of experts, of which a layer has fewer than the prompt has tokens.
    "qwen3-moe": sizes(
        83, 64, 3, 6, 2, 96,
        model_type="qwen3_moe",
        head_dim=32,
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        num_experts=5,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        norm_topk_prob=True,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        tie_word_embeddings=False,
    ),
    # All layers slide.
    "mistral": sizes(
        83, 64, 3, 6, 2, 96,
        model_type="mistral",
        head_dim=16,
        rms_norm_eps=1e-5,
        rope_theta=1e4,
        sliding_window=8,
        tie_word_embeddings=False,
    ),
    "ministral": sizes(
        83, 64, 4, 6, 2, 96,
        model_type="ministral",
        head_dim=16,
        rms_norm_eps=1e-5,
        rope_theta=1e4,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"] * 2,
        tie_word_embeddings=False,
    ),
    "ministral3": sizes(
        83, 64, 3, 6, 2, 96,
        model_type="ministral3",
        head_dim=16,
        rms_norm_eps=1e-5,
        rope_parameters=YARN | dict(
            type="yarn",
            rope_theta=1e4,
            beta_fast=32.0,
            beta_slow=1.0,
            mscale=1.0,
            mscale_all_dim=1.0,
            llama_4_scaling_beta=0.3,
        ),
        tie_word_embeddings=False,
    ),
    # All layers slide, as in Phi-3-mini-4k.
    "phi3": sizes(
        83, 96, 3, 6, 2, 64,
        model_type="phi3",
        rms_norm_eps=1e-5,
        rope_theta=1e4,
        sliding_window=8,
        original_max_position_embeddings=64,
        pad_token_id=0,
        tie_word_embeddings=False,
    ),
    # Phi-4-mini: a part of each head is rotated; LongRoPE past its original context.
    "phi4-mini": sizes(
        83, 96, 3, 6, 2, 64,
        model_type="phi3",
        rms_norm_eps=1e-5,
        rope_theta=1e4,
        partial_rotary_factor=0.75,
        sliding_window=262144,
        original_max_position_embeddings=16,
        rope_scaling=dict(
            type="longrope",
            short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
            long_factor=[1.3, 1.5, 2.5, 3.5, 5.5, 6.5],
        ),
        pad_token_id=0,
        tie_word_embeddings=True,
    ),
    "smollm3": sizes(
        83, 96, 5, 6, 2, 64,
        model_type="smollm3",
        rms_norm_eps=1e-6,
        rope_theta=5e6,
        no_rope_layers=[1, 1, 1, 0, 1],
        use_sliding_window=False,
        pad_token_id=0,
        tie_word_embeddings=True,
    ),
}

# What mlx-lm has under another name, or computes without the window, the scaling or the biases.
NOT_IN_MLX_LM = {
    "gemma2", "llama-dynamic", "qwen2-window", "mistral", "ministral", "phi3",
    "phi4-mini",
}
ROWS = 20  # the last tokens, whose logits are stored


def states(name, n):
    """Returns the top 24 bits of n states of a linear congruential generator, whose seed is the
    FNV-1a hash of name."""
    state = 0xCBF29CE484222325
    for b in name.encode():
        state = (state ^ b) * 0x100000001B3 % 2**64
    out = np.empty(n, np.uint32)
    for i in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out[i] = state >> 40
    return out


def uniform(name, n):
    """Returns n numbers in [-1, 1)."""
    return states(name, n).astype(np.float32) / np.float32(2**23) - np.float32(1)


def stack(name):
    """Returns the name of the stack in which mlx-lm keeps an expert's matrix."""
    return re.sub(r"experts\.\d+\.", "switch_mlp.", name)


def form(name, columns):
    """Returns the bits and the group of a quantised matrix; those of a stack are all alike."""
    n = int(states(stack(name) + ".form", 1)[0])
    groups = [g for g in (32, 64, 128) if columns % g == 0]
    return (3, 4, 5, 6, 8)[n % 5], groups[n // 5 % len(groups)]


def quantised(name, shape):
    """Returns the codes, the scales and the biases of a quantised matrix."""
    bits, group = form(name, shape[1])
    codes = (states(name, shape[0] * shape[1]) >> (24 - bits)).reshape(shape)
    levels = np.float32(2**bits - 1)
    spread = uniform(name + ".scales", shape[0] * shape[1] // group) * np.float32(0.5)
    scales = np.float32(0.5) / levels * (spread + np.float32(1))
    biases = scales * levels * np.float32(-0.5)
    return codes, scales.reshape(shape[0], -1), biases.reshape(shape[0], -1)


def weight(name, shape, gemma, packed):
    """Returns a tensor; packed says that matrices are the floats that their quantised form means."""
    if len(shape) == 2:
        if not packed:
            return uniform(name, int(np.prod(shape))).reshape(shape) * np.float32(0.25)
        codes, scales, biases = quantised(name, shape)
        group = shape[1] // scales.shape[1]
        wide = [np.repeat(x, group, axis=1) for x in (scales, biases)]
        return codes.astype(np.float32) * wide[0] + wide[1]
    x = uniform(name, shape[0]) * np.float32(0.5)
    return x if name.endswith("bias") or gemma else x + np.float32(1)


def pack(codes, bits):
    """Returns the words of 32 bits that hold the codes of each row, lowest bits first."""
    rows = codes.shape[0]
    stream = (codes[..., None] >> np.arange(bits, dtype=np.uint32) & 1).reshape(rows, -1, 32)
    return (stream.astype(np.uint32) << np.arange(32, dtype=np.uint32)).sum(
        axis=2, dtype=np.uint32
    )


def prompt(config):
    return ((uniform("tokens", TOKENS) + 1) / 2 * config["vocab_size"]).astype(np.int32)


def transformers_logits(config, packed, folder):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    gemma = config["model_type"].startswith("gemma")
    c = AutoConfig.for_model(**config)
    c._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(c).to(torch.float32).eval()
    if config["model_type"] == "gemma3_text":
        # The models were trained and run in bfloat16.
        scale = model.model.embed_tokens.embed_scale
        scale.copy_(scale.to(torch.bfloat16).float())
    state, merged = {}, {}  # as files hold it, and the experts of a layer as one tensor
    for n, p in model.state_dict().items():
        if n == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        if ".experts." not in n:
            state[n] = torch.from_numpy(weight(n, tuple(p.shape), gemma, packed))
            continue
        stack, what = n.rsplit(".", 1)
        parts = ["gate_proj", "up_proj"] if what == "gate_up_proj" else [what]
        shape = (p.shape[1] // len(parts), p.shape[2])
        experts = []
        for i in range(p.shape[0]):
            names = [f"{stack}.{i}.{part}.weight" for part in parts]
            for name in names:
                state[name] = torch.from_numpy(weight(name, shape, gemma, packed))
            experts.append(torch.cat([state[name] for name in names]))
        merged[n] = torch.stack(experts)
    model.load_state_dict(state | merged, strict=False)
    model.tie_weights()
    write(config | {"architectures": [type(model).__name__]}, state, packed, folder)
    with torch.no_grad():
        return model(torch.from_numpy(prompt(config)).long()[None]).logits[0].numpy()


def write(config, state, packed, folder):
    """Writes a model folder; what is quantised is stacked, as mlx-lm has it."""
    from safetensors.numpy import save_file

    tensors, modules, stacks = {}, {}, {}
    for name, x in state.items():
        if not packed or x.ndim != 2:
            tensors[name] = x.numpy()
            continue
        module = stack(name).removesuffix(".weight")
        codes, scales, biases = quantised(name, x.shape)
        bits, group = form(name, x.shape[1])
        modules[module] = {"group_size": group, "bits": bits}
        for ending, part in (
            (".weight", pack(codes, bits)), (".scales", scales), (".biases", biases)
        ):
            if stack(name) == name:
                tensors[module + ending] = part
            else:
                stacks.setdefault(module + ending, []).append(part)
    tensors |= {name: np.stack(parts) for name, parts in stacks.items()}
    config = config | {"torch_dtype": "float32"}
    if packed:
        config["quantization"] = {"group_size": 32, "bits": 4} | modules
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def mlx_logits(config, folder):
    import mlx.core as mx
    from mlx_lm.utils import load_model

    model, _ = load_model(folder)
    return np.array(model(mx.array(prompt(config))[None])[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folders", type=pathlib.Path, default=pathlib.Path(tempfile.mkdtemp()))
    parser.add_argument("kinds", nargs="*")
    args = parser.parse_args()
    from safetensors.numpy import save_file

    for kind in args.kinds or CONFIGS:
        config, stored = CONFIGS[kind], {}
        for packed in (False, True):
            name = "quantised" if packed else "logits"
            folder = args.folders / (kind + ("-quantised" if packed else ""))
            logits = transformers_logits(config, packed, folder)
            stored[name] = np.ascontiguousarray(logits[-ROWS:])
            top = np.sort(logits, axis=1)
            print(
                f"{kind} {name}: deviation {logits.std():.3g}, largest {np.abs(logits).max():.3g}, "
                f"least margin {(top[:, -1] - top[:, -2]).min():.2g}",
                end="",
            )
            if kind not in NOT_IN_MLX_LM:
                off = np.abs(mlx_logits(config, folder) - logits).max()
                print(f", mlx-lm differs by {off:.2g}", end="")
            print(flush=True)
        out = HERE / "testdata" / kind
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file(stored, out / "model.safetensors")


if __name__ == "__main__":
    main()
