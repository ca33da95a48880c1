"""Checks an imported folder against its GGUF file, with none of our code:

    python3 check.py FILE.gguf DIR

Weights: each tensor must equal, bit for bit, the one that the package gguf dequantises from the
file. Tokenizer: tokenizer.json, loaded by Hugging Face's tokenizers, must encode some thousand
texts as an implementation straight from the file's metadata does: SentencePiece's BPE by scores, or
byte-level BPE by llama.cpp's patterns.

Made with gguf 0.19.0, tokenizers 0.23.3, safetensors 0.8.0, regex 2026.11.15, numpy 2.
"""

import heapq
import json
import random
import sys

import gguf
import numpy as np
import regex
from safetensors import safe_open
from tokenizers import Tokenizer

file, folder = sys.argv[1:]
reader = gguf.GGUFReader(file)
meta = {k: f.contents() for k, f in reader.fields.items()}
arch = meta["general.architecture"]
tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
NORMAL, CONTROL, DEFINED, BYTE = 1, 3, 4, 6


def check_weights():
    config = json.load(open(folder + "/config.json"))
    stored = {t.name: t for t in reader.tensors}
    names = gguf.get_tensor_name_map(
        {"llama": gguf.MODEL_ARCH.LLAMA, "gemma3": gguf.MODEL_ARCH.GEMMA3}[arch],
        config["num_hidden_layers"],
    )
    with safe_open(folder + "/model.safetensors", "np") as ours:
        for name in ours.keys():
            t = stored.pop(names.get_name(name, try_suffixes=(".weight",)))
            want = gguf.dequantize(t.data, t.tensor_type).reshape(
                [int(n) for n in reversed(t.shape)]
            )
            got = ours.get_tensor(name)
            if arch == "gemma3" and name.endswith("norm.weight"):
                want = want - np.float32(1)
            # The converter of llama.cpp permutes q and k.
            if arch == "llama" and (".q_proj." in name or ".k_proj." in name):
                heads = config[
                    "num_attention_heads" if ".q_proj." in name else "num_key_value_heads"
                ]
                got = (
                    got.reshape(heads, 2, got.shape[0] // heads // 2, -1)
                    .swapaxes(1, 2)
                    .reshape(got.shape)
                )
            assert np.array_equal(got, want), name
    assert not stored, stored
    print(len(reader.tensors), "tensors equal")


def merge(symbols, priority):
    """Joins the neighbours with the lowest priority(left, right), the leftmost of equals, until no
    neighbours have a priority."""
    nexts, prevs = list(range(1, len(symbols) + 1)), list(range(-1, len(symbols) - 1))
    heap = []

    def add(left, right):
        if (
            left >= 0
            and right < len(symbols)
            and (p := priority(symbols[left], symbols[right])) is not None
        ):
            heapq.heappush(heap, (p, left, right, symbols[left], symbols[right]))

    for i in range(len(symbols)):
        add(i, i + 1)
    while heap:
        _, left, right, a, b = heapq.heappop(heap)
        if (
            symbols[left] != a
            or right >= len(symbols)
            or symbols[right] != b
            or nexts[left] != right
        ):
            continue
        symbols[left], symbols[right], nexts[left] = a + b, None, nexts[right]
        if nexts[right] < len(symbols):
            prevs[nexts[right]] = left
        add(prevs[left], left)
        add(left, nexts[left])
    return [s for s in symbols if s is not None]


def sentencepiece():
    pieces = [t.replace(" ", "▁") if y == DEFINED else t for t, y in zip(tokens, types)]
    score = dict(zip(pieces, meta["tokenizer.ggml.scores"]))
    normal = {p: i for i, p in enumerate(pieces) if types[i] == NORMAL}
    bytes_ = {int(p[3:5], 16): i for i, p in enumerate(pieces) if types[i] == BYTE}

    def tail(text):
        out = []
        for s in merge(list(text), lambda a, b: -score[a + b] if a + b in normal else None):
            out += [normal[s]] if s in normal else [bytes_[b] for b in s.encode()]
        return out

    return pieces, tail, lambda text: text.replace(" ", "▁")


def byte_level():
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letter = {b: chr(b) for b in keep} | {
        b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in keep)
    }
    ids, ranks = {t: i for i, t in enumerate(tokens)}, {
        tuple(m.split(" ")): i for i, m in enumerate(meta["tokenizer.ggml.merges"])
    }
    assert meta["tokenizer.ggml.pre"] == "smollm"
    words = regex.compile(
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    )

    def tail(text):
        out = []
        for part in regex.findall(r"\p{N}|\P{N}+", text):
            for word in words.findall(part):
                out += [
                    ids[s]
                    for s in merge(
                        [letter[b] for b in word.encode()], lambda a, b: ranks.get((a, b))
                    )
                ]
        return out

    return tokens, tail, lambda text: text


def texts(pieces):
    rnd = random.Random(1)
    yield from [
        "",
        "Hello world",
        "    return x\n\n\tif y:\n",
        " " * 70,
        "x" + " " * 33 + "the end",
        "\n" * 40,
        "\t" * 35 + "z",
        "naïve café e\u0301",
        "日本語のテキスト、漢字かな交じり文。",
        "مرحبا بالعالم",
        "Привет, мир! Как дела?",
        "हिन्दी में",
        "한국어 문장입니다",
        "ไทยภาษา",
        "ÇA VA? I'LL go, don't!",
        "🎉👩‍👩‍👧‍👦🏳️‍🌈 ok",
        "\u0007\x00weird\u2028",
        "1234567890 3.14159 x² ½ ٣",
        "<table><b>x</b></table>",
        "-" * 50,
        "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𒀀𒀁",
        "\r\n windows\r\n",
    ]
    ranges = [(32, 126)] * 3 + [(0xA0, 0x24F), (0x400, 0x4FF), (0x4E00, 0x9FFF), (0x1F300, 0x1FAFF)]
    normal = [p for p, y in zip(pieces, types) if y == NORMAL]
    for _ in range(3000):
        yield "".join(rnd.choices(normal, k=rnd.randint(1, 25))).replace("▁", " ").replace(
            "Ġ", " "
        ).replace("Ċ", "\n")
        yield "".join(chr(rnd.randint(*rnd.choice(ranges))) for _ in range(rnd.randint(1, 60)))
        yield "".join(
            rnd.choice(["a", "b", " ", "  ", "\n", "e", "the", " the", "0", "'s", "!", "!!"])
            for _ in range(rnd.randint(1, 60))
        )


def check_tokenizer():
    pieces, tail, normalize = (
        sentencepiece() if meta["tokenizer.ggml.model"] == "llama" else byte_level()
    )
    starts = {}
    for i, p in sorted(enumerate(pieces), key=lambda x: -len(x[1])):
        if types[i] in (CONTROL, DEFINED):
            starts.setdefault(p[0], []).append((p, i))
    ours, n = Tokenizer.from_file(folder + "/tokenizer.json"), 0
    for text in texts(pieces):
        want, rest, at, s = [], "", 0, normalize(text)
        while at < len(s):
            for p, i in starts.get(s[at], ()):
                if s.startswith(p, at):
                    want, rest, at = want + tail(rest) + [i], "", at + len(p)
                    break
            else:
                rest, at = rest + s[at], at + 1
        want += tail(rest)
        assert ours.encode(text, add_special_tokens=False).ids == want, (text, want)
        n += 1
    print(n, "texts encoded equally")


check_weights()
check_tokenizer()
