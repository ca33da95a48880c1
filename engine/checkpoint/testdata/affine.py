"""Makes affine/ beside this file: matrices that MLX quantised, and the numbers that MLX reads from them.

Run with mlx 0.32.4 (CPU):

    python engine/checkpoint/testdata/affine.py
"""

import json
import pathlib

import mlx.core as mx

OUT = pathlib.Path(__file__).parent / "affine"
OUT.mkdir(exist_ok=True)
mx.random.seed(1)
tensors, layers = {}, {}
for bits in (2, 3, 4, 5, 6, 8):
    for group in (32, 64, 128):
        name = f"b{bits}g{group}"
        q = mx.quantize(mx.random.normal((2, 256)), group, bits)
        tensors[name + ".weight"], tensors[name + ".scales"], tensors[name + ".biases"] = q
        tensors["want." + name] = mx.dequantize(*q, group, bits)
        layers[name] = {"group_size": group, "bits": bits}
del layers["b4g64"]  # it is the default of the folder
# The other dtypes: numbers as MLX stores them, and the same in float32.
edge = mx.array([0, -0.0, 1, -1.5, 65504, 6.1035156e-05, 5.9604645e-08, -3.1e-06, 0.333251953125, float("inf")])
tensors["half"], tensors["brain"] = edge.astype(mx.float16), edge.astype(mx.bfloat16)
tensors["want.half"], tensors["want.brain"] = (tensors[n].astype(mx.float32) for n in ("half", "brain"))
mx.save_safetensors(str(OUT / "model.safetensors"), tensors, {"format": "mlx"})
config = dict(model_type="llama", vocab_size=8, hidden_size=256, num_hidden_layers=1, intermediate_size=8,
              num_attention_heads=2, quantization={"group_size": 64, "bits": 4, "mode": "affine", "unquantised": False, **layers})
(OUT / "config.json").write_text(json.dumps(config, indent=2) + "\n")
