"""Makes testdata/*/llama.cpp.gguf.head and llama.cpp.json: what llama.cpp's own converter makes of the
networks that oracle.py writes, and what llama.cpp answers with them.

A head is a GGUF file up to its first tensor's data, which llamacpp.go repeats from the formula; the
JSON has the CRC-32 of the whole file, so that the test knows that it repeats the converter's file,
and the greedy answer to the oracles' prompt. Run it with the packages of oracle.py,
xllamacpp 2026.10.11549, and LLAMA_CPP, the folder of llama.cpp's source in which the sdist of
llama-cpp-python 0.3.36 has it (vendor/llama.cpp):

    python engine/ref/oracle/oracle.py --folders DIR
    python engine/ref/oracle/llamacpp.py LLAMA_CPP DIR
"""

import json
import pathlib
import sys
import zlib

SOURCE, FOLDERS = map(pathlib.Path, sys.argv[1:3])
sys.path[:0] = [str(SOURCE), str(SOURCE / "gguf-py")]

import gguf
import torch
import xllamacpp
from conversion import ModelBase, get_model_class

from oracle import CONFIGS, HERE, prompt

# What llama.cpp has no converter for (ministral), or whose windows and scaling it leaves out.
KINDS = [
    k
    for k in CONFIGS
    if k not in ("mistral", "ministral", "qwen2-window", "llama-dynamic")
]
# What llama.cpp runs without its window.
UNANSWERED = ("phi3",)
ANSWER = 12  # tokens
TOKENS = ["<|end|>", "<|start|>"] + [chr(c) for c in range(0x21, 0x21 + 81)]


def set_vocab(self):
    """Writes a vocabulary of bytes: the networks have no tokenizers."""
    w = self.gguf_writer
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(TOKENS)
    w.add_token_types([3, 3] + [1] * 81)
    w.add_token_merges(["! !"])
    w.add_bos_token_id(1)
    w.add_eos_token_id(0)
    w.add_add_bos_token(False)


def convert(kind, out):
    folder = FOLDERS / kind
    # Gemma 3's converter counts the tokens in it.
    vocab = {t: i for i, t in enumerate(TOKENS)}
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": vocab}, "added_tokens": []})
    )
    hparams = ModelBase.load_hparams(folder, False)
    cls = get_model_class(hparams["architectures"][0])
    with torch.inference_mode():
        model = cls(folder, gguf.LlamaFileType.ALL_F32, out, model_name=kind)
        for m in (model, getattr(model, "impl", model)):
            m.set_vocab = set_vocab.__get__(m)
        model.write()


def answer(path, ids):
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.n_batch = 64, 1, 64
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.warmup = False
    server = xllamacpp.Server(params)
    reply = server.handle_completions(
        {
            "prompt": ids,
            "n_predict": ANSWER,
            "temperature": 0,
            "logprobs": 1,
            "ignore_eos": True,
            "cache_prompt": False,
        }
    )
    tokens = reply["choices"][0]["logprobs"]["content"]
    return [t["id"] for t in tokens], [t["logprob"] for t in tokens]


def main():
    for kind in sys.argv[3:] or KINDS:
        path = FOLDERS / (kind + ".gguf")
        path.unlink(missing_ok=True)
        convert(kind, path)
        data = path.read_bytes()
        reader = gguf.GGUFReader(path)
        out = HERE / "testdata" / kind
        (out / "llama.cpp.gguf.head").write_bytes(data[: reader.data_offset])
        tables = {t.name: t.data.tolist() for t in reader.tensors if t.name.startswith("rope_")}
        text = {"crc32": zlib.crc32(data), "bytes": len(data), "tables": tables}
        if kind not in UNANSWERED:
            tokens, logprobs = answer(path, prompt(CONFIGS[kind]).tolist())
            text |= {"answer": tokens, "logprobs": [round(p, 6) for p in logprobs]}
        (out / "llama.cpp.json").write_text(json.dumps(text) + "\n")
        print(kind, reader.data_offset, text, flush=True)


if __name__ == "__main__":
    main()
