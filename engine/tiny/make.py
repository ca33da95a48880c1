"""Makes model/, the embedded network: Gemma 3 with random weights, a tokenizer trained on
corpus.txt.

Made with Python 3.11, numpy 2.4.6 and tokenizers 0.23.3 (other versions may draw or merge
differently):

    python engine/tiny/make.py

The network knows nothing. It should be small, fast and chaotic: a greedy answer must change when
any token of the prompt changes, and must not fall into a loop, because otherwise the checks for
mixed-up requests prove nothing. tiny_test.go measures both. The following makes it so; it was found
by trial:

- The output projection of attention takes the difference of two heads that share their values, so
  the part that all tokens have in common cancels. With two heads that have values of their own,
  attention was near the average of the context, the answers circled through a few tokens, and one
  token in a thousand changed the answer in one case of ten.
- The sum that a block adds to the stream doubles from layer to layer, so that each outweighs the
  stream so far, and in particular the embedding. Otherwise the network would repeat its input,
  because its head is the embedding.
- There are two global layers, the first in the middle: a change of one token spreads a little to
  every later position and grows in the layers after it. With only the last layer global, changes in
  1000 tokens of repeated text went unseen.
- It is not more chaotic than that: an error of 1e-7, which is the difference between two backends,
  grows to 1e-3 of the logits' standard deviation, which still leaves the greedy answers of ref and
  mlx-lm equal. Query and key norms of 1.4 and gates of 4 double that error.
"""

import json
import pathlib
import platform
import struct

import numpy as np
import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
OUT = HERE / "model"
# Ids begin at 0; the first four are Gemma's.
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
VOCAB = 1024
SEED = 20

CONFIG = dict(
    architectures=["Gemma3ForCausalLM"],
    model_type="gemma3_text",
    torch_dtype="bfloat16",
    vocab_size=VOCAB,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=6,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=32,
    max_position_embeddings=32768,
    rms_norm_eps=1e-6,
    sliding_window=32,
    sliding_window_pattern=3,
    layer_types=(["sliding_attention"] * 2 + ["full_attention"]) * 2,
    rope_theta=1000000.0,
    rope_local_base_freq=10000.0,
    query_pre_attn_scalar=32,
    hidden_activation="gelu_pytorch_tanh",
    attention_bias=False,
    tie_word_embeddings=True,
    pad_token_id=0,
    bos_token_id=2,
    eos_token_id=[1, 5],
)

EMBEDDING = 0.05  # deviation of its elements; times sqrt(hidden_size) that is 0.4 in the stream
QUIET = 1 / 64  # factor for tokens that must never be the answer
QK_NORM = 1.2  # gain of query and key norms: scores have a deviation of its square
GATE = 2.0  # gain before the feed-forward network
POST = [1, 2, 4, 8, 16, 32]  # by layer: gain after attention and after the feed-forward network
HEAD = 8.0  # gain before the head: logits have a deviation of about 3


def make_tokenizer():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=SPECIAL,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    t.train_from_iterator((HERE / "corpus.txt").read_text().split("\n\n"), trainer)
    t.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 2)]
    )
    assert t.get_vocab_size() == VOCAB
    return t


def loud(t, i):
    """Tells whether token i may be in an answer: it is a piece of a word and has two letters or
    more, so that answers can be read."""
    text = t.decode([i], skip_special_tokens=True)
    return (
        i >= len(SPECIAL) and text.isascii() and text.strip().isalpha() and len(text.strip()) >= 2
    )


def weights(t):
    rng = np.random.default_rng(SEED)
    c = CONFIG
    e, f, d = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    hd, kd = c["num_attention_heads"] * d, c["num_key_value_heads"] * d

    def matrix(rows, columns):
        return rng.standard_normal((rows, columns)).astype(np.float32) / np.float32(columns**0.5)

    def difference(rows, columns):  # the difference of two heads
        m = matrix(rows, columns)
        return np.concatenate([m, -m], axis=1)

    def norm(n, gain):  # Gemma stores the gain minus 1
        return np.full(n, gain - 1, np.float32)

    embed = rng.standard_normal((VOCAB, e)).astype(np.float32)
    embed *= np.float32(EMBEDDING * e**0.5) / np.linalg.norm(embed, axis=1, keepdims=True)
    embed *= np.array([1 if loud(t, i) else QUIET for i in range(VOCAB)], np.float32)[:, None]
    w = {"model.embed_tokens.weight": embed, "model.norm.weight": norm(e, HEAD)}
    for i in range(c["num_hidden_layers"]):
        for name, x in {
            "input_layernorm": norm(e, 1),
            "self_attn.q_proj": matrix(hd, e),
            "self_attn.k_proj": matrix(kd, e),
            "self_attn.v_proj": matrix(kd, e),
            "self_attn.o_proj": difference(e, d),
            "self_attn.q_norm": norm(d, QK_NORM),
            "self_attn.k_norm": norm(d, QK_NORM),
            "post_attention_layernorm": norm(e, POST[i]),
            "pre_feedforward_layernorm": norm(e, GATE),
            "mlp.gate_proj": matrix(f, e),
            "mlp.up_proj": matrix(f, e),
            "mlp.down_proj": matrix(e, f),
            "post_feedforward_layernorm": norm(e, POST[i]),
        }.items():
            w[f"model.layers.{i}.{name}.weight"] = x
    return w


def bfloat16(x):
    """Returns the bytes of x, rounded to the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()


def safetensors(w):
    """Returns the bytes of the file. It is written by hand because numpy has no bfloat16 and the
    library's way around that changes from version to version."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, x in w.items():
        raw = bfloat16(x)
        header[name] = {
            "dtype": "BF16",
            "shape": x.shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


TEMPLATE = """\
{{ bos_token }}
{%- set system = '' %}
{%- if messages[0]['role'] == 'system' and messages | length > 1 %}
    {%- set system = messages[0]['content'] + '\\n\\n' %}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- for message in messages %}
    {{- '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\\n' }}
    {%- if loop.first %}
        {{- system }}
    {%- endif %}
    {{- message['content'] | trim }}
    {{- '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<start_of_turn>model\\n' }}
{%- endif %}"""


def main():
    OUT.mkdir(exist_ok=True)
    t = make_tokenizer()
    t.save(str(OUT / "tokenizer.json"), pretty=False)
    (OUT / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (OUT / "tokenizer_config.json").write_text(
        json.dumps(
            dict(
                tokenizer_class="PreTrainedTokenizerFast",
                add_bos_token=True,
                add_eos_token=False,
                bos_token="<bos>",
                eos_token="<eos>",
                pad_token="<pad>",
                unk_token="<unk>",
                clean_up_tokenization_spaces=False,
                model_max_length=CONFIG["max_position_embeddings"],
            ),
            indent=2,
        )
        + "\n"
    )
    (OUT / "chat_template.jinja").write_text(TEMPLATE)
    w = weights(t)
    (OUT / "model.safetensors").write_bytes(safetensors(w))
    print(
        f"python {platform.python_version()}, numpy {np.__version__}, tokenizers {tokenizers.__version__}"
    )
    print(
        sum(x.size for x in w.values()),
        "parameters,",
        sum(loud(t, i) for i in range(VOCAB)),
        "tokens that can be answered",
    )


if __name__ == "__main__":
    main()
