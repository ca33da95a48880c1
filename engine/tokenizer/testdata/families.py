"""Makes the tokenizers of testdata/families and what Hugging Face's tokenizers makes of a corpus of
1 MB with each: the pipeline of every family of models as its publisher has it (normalizer,
pre-tokenizer, model, post-processor, decoder, added tokens), with a small vocabulary trained here.

    pip install tokenizers==0.23.3
    python families.py

Of the corpus, which corpus() and corpus_test.go make alike, an oracle holds a hash of all ids and of
all decoded text, and the ids of a few lines to look at. Vocabularies and oracles are made, and
committed, together.
"""

import gzip
import hashlib
import json
import pathlib
import struct

from tokenizers import (
    AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers,
)

HERE = pathlib.Path(__file__).parent / "families"
BYTES = 1_000_000

GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN35 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
])
TEKKEN = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"\p{N}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
])
DEEPSEEK = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def corpus():
    """Lines of BYTES bytes in all. Seeds are the texts of corpus.txt; a linear congruential generator
    picks their words, what joins them, and what is done to them."""
    words = (HERE / "corpus.txt").read_text(encoding="utf-8").split()
    marks = (HERE / "marks.txt").read_text(encoding="utf-8").split("\n")[:-1]
    state, lines, size = 19, [], 0

    def draw(n):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (state >> 33) % n

    joins = [" "] * 12 + ["  ", "\t", "", "\u00a0", "\u3000", "   ", " \r", "\u2028", "'", "-", "_", "/"]
    while size < BYTES:
        line, start = "", draw(len(words))
        for i in range(draw(40)):
            word = words[(start + i) % len(words)] if draw(4) else words[draw(len(words))]
            kind = draw(40)
            if kind == 0:
                word = "".join(c.upper() if c.isascii() else c for c in word)
            elif kind == 1:
                word = str(draw(10 ** (1 + draw(9))))
            elif kind == 2:
                word = marks[draw(len(marks))]
            elif kind == 3:
                word = word + ".,;:!?"[draw(6)] * (1 + draw(3))
            elif kind == 4:
                word = chr([0x300, 0x1F300, 0x4E00, 0xAC00, 0x600, 0x900, 0x10400, 0x2190][draw(8)] + draw(200))
            line += word + joins[draw(len(joins))]
        line += ["", "\n", "\n\n", " \n", "\r\n", "   "][draw(6)]
        lines.append(line)
        size += len(line.encode())
    return lines


# A token whose letters all stand for bytes in the alphabet of ByteLevel, such as "ünder", is decoded as
# those bytes by Hugging Face and as it is written here, so the family "added" has none.


def special(*texts):
    return [AddedToken(t, special=True, normalized=False) for t in texts]


def plain(*texts, **more):
    return [AddedToken(t, special=False, normalized=False, **more) for t in texts]


def around(template, tokenizer, *tokens):
    return processors.TemplateProcessing(
        single=template, pair=template + " $B:1", special_tokens=[(t, tokenizer.token_to_id(t)) for t in tokens])


def byte_level(lines, name, split, norm=None, ignore_merges=False, added=(), before=None, more=()):
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if norm:
        t.normalizer = norm
    steps = [pre_tokenizers.Split(Regex(s), "isolated") for s in split]
    t.pre_tokenizer = pre_tokenizers.Sequence([*more, *steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not split)])
    t.decoder = decoders.ByteLevel()
    train(t, lines, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    t.add_tokens(list(added))
    level = processors.ByteLevel(trim_offsets=False)
    t.post_processor = processors.Sequence([level, around(before + " $A", t, before)]) if before else level
    return name, t


def train(t, lines, **more):
    trainer = trainers.BpeTrainer(vocab_size=1200, show_progress=False, min_frequency=2, **more)
    t.train_from_iterator([line for line in lines[::7]], trainer)


def sentencepiece(lines, name, norm=None, pre=None, added=(), strip=True, before="<s>", model_more={}):
    t = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>", **model_more))
    if norm:
        t.normalizer = norm
    if pre:
        t.pre_tokenizer = pre
    bytes256 = [f"<0x{b:02X}>" for b in range(256)]
    # Training goes by words, as SentencePiece's does; the pipeline itself may have no pre-tokenizer.
    kept, t.pre_tokenizer = t.pre_tokenizer, pre_tokenizers.Split("▁", "merged_with_next") if not pre else pre
    train(t, lines, special_tokens=["<unk>", "<s>", "</s>", *bytes256], limit_alphabet=300)
    if kept is None:
        data = json.loads(t.to_str())
        data["pre_tokenizer"] = None
        t = Tokenizer.from_str(json.dumps(data))
    else:
        t.pre_tokenizer = kept
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    t.decoder = decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strip else []))
    t.add_tokens(list(added))
    if before:
        t.post_processor = around(before + " $A", t, before)
    data = json.loads(t.to_str())
    # The bytes are ordinary tokens of the model, not added ones.
    data["added_tokens"] = [a for a in data["added_tokens"] if not a["content"].startswith("<0x")]
    return name, Tokenizer.from_str(json.dumps(data))


def families(lines):
    prepend = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    yield byte_level(lines, "llama3", [GPT4], ignore_merges=True, before="<|begin_of_text|>", added=special(
        "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"))
    yield byte_level(lines, "qwen2", [QWEN2], norm=normalizers.NFC(), added=[
        *special("<|endoftext|>", "<|im_start|>", "<|im_end|>"), *plain("<tool_call>", "</tool_call>", "<think>", "</think>")])
    yield byte_level(lines, "qwen3.5", [QWEN35], norm=normalizers.NFC(), added=special("<|endoftext|>", "<|im_end|>"))
    yield byte_level(lines, "gpt-oss", [O200K], ignore_merges=True, added=special("<|start|>", "<|channel|>", "<|message|>", "<|end|>"))
    yield byte_level(lines, "tekken", [TEKKEN], ignore_merges=True, before="<s>", added=special("<s>", "</s>", "[INST]", "[TOOL_CALLS]", "[ARGS]"))
    yield byte_level(lines, "deepseek", [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK], before="<｜begin▁of▁sentence｜>", added=[
        *special("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"), *plain("<think>", "</think>", "<｜tool▁calls▁begin｜>")])
    yield byte_level(lines, "smollm", [], more=[pre_tokenizers.Digits(individual_digits=True)], added=special("<|im_start|>", "<|im_end|>"))
    yield byte_level(lines, "added", [GPT4], norm=normalizers.NFC(), added=[
        AddedToken("<l>", lstrip=True, special=True, normalized=False), AddedToken("<r>", rstrip=True, special=True, normalized=False),
        AddedToken("<lr>", lstrip=True, rstrip=True, normalized=False), AddedToken("word", single_word=True, normalized=False),
        AddedToken("ünder→", normalized=True), AddedToken("<n>", normalized=True, lstrip=True, single_word=True)])
    yield sentencepiece(lines, "llama2", norm=prepend)
    yield sentencepiece(lines, "mistral", pre=pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False), added=special("[INST]", "[/INST]", "[TOOL_CALLS]"))
    yield sentencepiece(lines, "phi3", norm=prepend, added=[
        AddedToken("<|user|>", rstrip=True, special=True, normalized=False), AddedToken("<|end|>", rstrip=True, special=True, normalized=False)])
    yield sentencepiece(lines, "gemma", norm=normalizers.Replace(" ", "▁"), pre=pre_tokenizers.Split(" ", "merged_with_previous"),
                        strip=False, before="<bos>", added=special("<bos>", "<start_of_turn>", "<end_of_turn>"))


def digest(ids):
    return struct.pack(f"<{len(ids) + 1}i", len(ids), *ids)


def main():
    lines = corpus()
    oracle = {"corpus": hashlib.sha256("\0".join(lines).encode()).hexdigest(), "lines": len(lines), "families": {}}
    for name, t in families(lines):
        data = json.loads(t.to_str())
        with open(HERE / f"{name}.json.gz", "wb") as f:
            f.write(gzip.compress(json.dumps(data, ensure_ascii=False).encode(), 9, mtime=0))
        t = Tokenizer.from_str(json.dumps(data))
        ids, text, count = hashlib.sha256(), hashlib.sha256(), 0
        samples = []
        for i, line in enumerate(lines):
            e = t.encode(line).ids
            count += len(e)
            ids.update(digest(e))
            d = t.decode(e, skip_special_tokens=True)
            text.update(d.encode() + b"\0")
            if i % (len(lines) // 5) == 0:
                samples.append({"line": i, "ids": e, "text": d})
        oracle["families"][name] = {"tokens": count, "ids": ids.hexdigest(), "text": text.hexdigest(), "samples": samples}
        print(name, t.get_vocab_size(), count)
    (HERE / "oracle.json").write_text(json.dumps(oracle, ensure_ascii=False).replace('}, "', '},\n"') + "\n", encoding="utf-8")


main()
