"""Makes gemma3/ and llama/ beside this file: configurations, and the logits of mlx-lm's own
networks.

The weights are a formula that model_test.go repeats, so they are not stored. Run this with mlx
0.32.4 (CPU) and mlx-lm 0.32.2:

    python engine/ref/testdata/oracle.py
"""

import json
import pathlib

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models import gemma3_text, llama

HERE = pathlib.Path(__file__).parent
TOKENS = 40
CONFIGS = {
    # Two global layers, a window shorter than the prompt, two key heads with two heads each, a
    # scalar that is not the head dimension, a hidden size whose square root bfloat16 cannot hold,
    # scaled positions.
    "gemma3": dict(
        model_type="gemma3_text",
        vocab_size=97,
        hidden_size=48,
        num_hidden_layers=6,
        intermediate_size=72,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        rope_local_base_freq=1e4,
        rope_scaling={"rope_type": "linear", "factor": 2.0},
        query_pre_attn_scalar=20,
        sliding_window=8,
        sliding_window_pattern=3,
        hidden_activation="gelu_pytorch_tanh",
        tie_word_embeddings=True,
        bos_token_id=2,
        eos_token_id=[1, 3],
    ),
    "llama": dict(
        model_type="llama",
        vocab_size=89,
        hidden_size=48,
        num_hidden_layers=3,
        intermediate_size=80,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_theta=1e5,
        hidden_act="silu",
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
    ),
}


def uniform(name, n):
    """Returns n numbers in [-1, 1): the top 24 bits of the states of a linear congruential
    generator, whose seed is the FNV-1a hash of name."""
    state = 0xCBF29CE484222325
    for b in name.encode():
        state = (state ^ b) * 0x100000001B3 % 2**64
    out = np.empty(n, np.float32)
    for i in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out[i] = (state >> 40) / 2**23 - 1
    return out


def weight(name, shape, gemma):
    x = uniform(name, int(np.prod(shape)))
    if len(shape) == 2:
        x = x * np.float32(0.25)
    else:
        x = x * np.float32(0.5) + np.float32(0 if gemma else 1)
    return mx.array(x.reshape(shape))


for kind, config in CONFIGS.items():
    gemma = kind == "gemma3"
    module = gemma3_text if gemma else llama
    model = module.Model(module.ModelArgs.from_dict(config))
    if gemma:
        model.sanitize({})  # ties the head
    names = tree_flatten(model.parameters())
    model.load_weights([(n, weight(n, p.shape, gemma)) for n, p in names])
    tokens = ((uniform("tokens", TOKENS) + 1) / 2 * config["vocab_size"]).astype(np.int32)
    logits = model(mx.array(tokens)[None])[0]
    (HERE / kind).mkdir(exist_ok=True)
    (HERE / kind / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    mx.save_safetensors(str(HERE / kind / "model.safetensors"), {"logits": logits})
    print(
        kind,
        len(names),
        "tensors, logits",
        logits.shape,
        float(logits.std()),
        float(mx.abs(logits).max()),
    )
