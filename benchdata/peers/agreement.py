"""How far engines with the same weights agree on what the next token is.

    agreement.py questions --model NAME --tokenizer FILE --text FILE      questions, as JSON
    agreement.py quantise  --gguf FILE --to FILE --type TYPE              a GGUF file of a type
    agreement.py mlx-lm    --folder DIR --questions FILE [--drafts FILE]  findings, as JSON
    agreement.py llama.cpp --gguf FILE --questions FILE                   the same
    agreement.py compare   --name NAME --exact FILE --found FILE          a Go benchmark line
    agreement.py answers   --questions FILE --exact FILE                  for metal/likeliest

Questions are passages of a text, and 13 chats, each to be answered greedily with 24 tokens. A
finding is what an engine computes in the place of one token: the log-probabilities of the 64
likeliest tokens there, and that of the token which follows. There is one for each token of an
answer and of a passage, except the passage's first ones. metal/likeliest writes the findings of
Loadstone. mlx-lm computes in float32 here, with the weights of the folder as they are; the others
are compared with it.

A line of compare has how many tokens of passages there are, and of these

    likeliest-ratio      the share where both find the same token likeliest
    dlp-nats             the mean difference of the log-probability of the exact engine's likeliest
                         token
    ppl, ppl-ratio       the perplexity, and how many times that of the exact engine it is

and of chats

    same-answers         how many answers are the exact engine's to the last token
    answers-dlp-nats     the mean difference of the log-probabilities of the exact engine's five
                         likeliest tokens, up to the first token of an answer that differs
    margin-nats          the largest lead, in the exact engine, of its token over the one that was
                         taken in its place
"""

import argparse
import json
import math
import os
import pathlib
import sys

import numpy as np

KEPT = 64  # tokens of a finding
ANSWER = 24  # tokens
PASSAGES = (20_000, 180_000, 340_000)  # the bytes of the text at which they begin
LENGTH, FROM = 1088, 63  # tokens of a passage, and the first one that has a finding

# The template of each model: what a text begins with, the turns of a chat, and what ends an answer.
MODELS = {
    "smollm2": {
        "begin": "",
        "system": "<|im_start|>system\n{}<|im_end|>\n",
        "default": "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
        "user": "<|im_start|>user\n{}<|im_end|>\n",
        "assistant": "<|im_start|>assistant\n{}<|im_end|>\n",
        "ask": "<|im_start|>assistant\n",
        "ends": ("<|im_end|>", "<|endoftext|>"),
    },
    "gemma3-270m": {
        "begin": "<bos>",
        "system": "",
        "default": None,
        "user": "<start_of_turn>user\n{}<end_of_turn>\n",
        "assistant": "<start_of_turn>model\n{}<end_of_turn>\n",
        "ask": "<start_of_turn>model\n",
        "ends": ("<end_of_turn>", "<eos>"),
    },
}

# The chats, each with turns of user and assistant alternately. One has a system prompt, and one
# asks about a long text.
CHATS = (
    ["What is a lodestone, and how did sailors use it?"],
    ["Warum ist der Himmel blau? Erkläre es einem Kind in zwei Sätzen."],
    ["Quelle est la différence entre un phare et une balise ?"],
    ["请用一句话解释什么是磁铁。"],
    ["磁石はどうして鉄を引きつけるのですか。"],
    ["ما هي البوصلة وكيف تعمل؟"],
    ["Что такое компас? कम्पास क्या है?"],
    ["🧲🧭🚢 What story do these tell? ⚓️👩‍🔧"],
    [
        "Write a Go function that reverses a slice of ints in place:\n\n"
        "```go\nfunc reverse(s []int) {\n```"
    ],
    [
        "Correct this JSON and answer with the JSON alone: "
        '{"name": "compass", "parts": ["needle" "card"], "year": 1190,}'
    ],
    ["Continue: 1, 1, 2, 3, 5, 8, 13, 21. And what is 17 * 23 - 4.5 / 1e-2?"],
    ["{text}\n\nWhat is this text about?"],
    ["Who are you?", "A ship's cook.", "What is for dinner?", "Fish, again.", "And tomorrow?"],
)
SYSTEM = "You are the cook of a sailing ship. You answer in short sentences."


def questions(model, tokenizer, text):
    from tokenizers import Tokenizer

    tokenizer, form = Tokenizer.from_file(tokenizer), MODELS[model]
    encode = lambda s: tokenizer.encode(form["begin"] + s, add_special_tokens=False).ids
    text = pathlib.Path(text).read_bytes()
    passage = lambda at: text[at : at + 8 * LENGTH].decode(errors="ignore")
    passages = [encode(passage(at))[:LENGTH] for at in PASSAGES]
    chats = []
    for turns in CHATS:
        turns = [t.replace("{text}", text[460_000:466_000].decode(errors="ignore")) for t in turns]
        system = SYSTEM if len(turns) > 1 else form["default"]
        chat = form["system"].format(system) if form["system"] and system else ""
        if system == SYSTEM and not form["system"]:
            turns[0] = SYSTEM + "\n\n" + turns[0]
        for i, turn in enumerate(turns):
            chat += form["assistant" if i % 2 else "user"].format(turn)
        chats.append(encode(chat + form["ask"]))
    ends = [tokenizer.token_to_id(e) for e in form["ends"]]
    return {"texts": passages, "from": FROM, "chats": chats, "answer": ANSWER, "ends": ends}


def finding(row, following=None):
    """Returns the finding of a row of logits; without following that is the likeliest token."""
    whole = row[: len(row) // 256 * 256].reshape(-1, 256).max(axis=1)
    bound = np.partition(whole, -KEPT)[-KEPT]  # at least KEPT logits are as large
    best = np.flatnonzero(row >= bound)
    best = best[np.argsort(-row[best], kind="stable")][:KEPT]
    total = float(row[best[0]]) + math.log(np.exp(row - row[best[0]]).sum(dtype=np.float64))
    following = int(best[0]) if following is None else following
    return {
        "next": round(float(row[following]) - total, 6),
        "ids": best.tolist(),
        "logprobs": [round(float(row[i]) - total, 6) for i in best],
    }


class MLXLM:
    """mlx-lm's network of a folder, in float32, its weights neither rounded nor quantised anew."""

    def __init__(self, folder):
        import mlx.core as mx
        from mlx_lm.models.cache import make_prompt_cache
        from mlx_lm.utils import dequantize_model, load_model

        mx.set_default_device(mx.cpu)
        self.mx, self.make = mx, make_prompt_cache
        model, _ = load_model(pathlib.Path(folder))
        model.set_dtype(mx.float32)  # also scales and biases, so that dequantising does not round
        self.model = dequantize_model(model)

    def rows(self, ids, start, cache=None):
        """Yields the rows of logits from token start on."""
        hidden = self.model.model(self.mx.array([ids]), cache)[0]
        self.mx.eval(hidden)
        tied = "lm_head" not in self.model
        head = self.model.model.embed_tokens.as_linear if tied else self.model.lm_head
        for at in range(start, len(ids), 128):
            yield from np.array(head(hidden[at : at + 128]))

    def text(self, ids, start):
        rows = self.rows(ids[:-1], start)
        return [finding(row, ids[start + i + 1]) for i, row in enumerate(rows)]

    def answer(self, prompt, n, ends, draft):
        """Returns the findings of a greedy answer. A draft is computed at once, and used as far as
        it is right."""
        found, cache = [], None
        for row in self.rows(prompt + draft[:-1], len(prompt) - 1):
            found.append(finding(row))
            if found[-1]["ids"][0] != (draft + [None])[len(found) - 1]:
                break
        while len(found) < n and found[-1]["ids"][0] not in ends:
            answer = [f["ids"][0] for f in found]
            ids = answer[-1:] if cache else prompt + answer
            cache = cache or self.make(self.model)
            (row,) = self.rows(ids, len(ids) - 1, cache)
            found.append(finding(row))
        return found


class LlamaCpp:
    """llama.cpp as it is by default, with the KV cache that it has then, which is of 16 bits."""

    def __init__(self, path, threads):
        import engines

        self.engine = engines.LlamaCpp(path, threads)

    def rows(self, ids, at, start):
        """Yields the rows of logits of ids from start on, where ids follow at tokens in the
        cache."""
        e = self.engine
        for i in range(0, len(ids), 256):
            part = ids[i : i + 256]
            e.step([(t, at + i + j, 0, i + j >= start) for j, t in enumerate(part)])
            wanted = len(part) - max(start - i, 0)
            if wanted > 0:
                logits = e.c.llama_get_logits(e.context)
                yield from np.ctypeslib.as_array(logits, (wanted, e.vocab)).copy()

    def text(self, ids, start):
        self.engine.begin(len(ids), 1)
        rows = self.rows(ids[:-1], 0, start)
        return [finding(row, ids[start + i + 1]) for i, row in enumerate(rows)]

    def answer(self, prompt, n, ends, draft):
        self.engine.begin(len(prompt) + n, 1)
        found, ids, at = [], prompt, 0
        while len(found) < n:
            (row,) = self.rows(ids, at, len(ids) - 1)
            found.append(finding(row))
            ids, at = found[-1]["ids"][:1], at + len(ids)
            if ids[0] in ends:
                break
        return found


def find(engine, asked, drafts):
    chats = drafts["chats"] if drafts else [[] for _ in asked["chats"]]
    return {
        "texts": [engine.text(ids, asked["from"]) for ids in asked["texts"]],
        "chats": [
            engine.answer(ids, asked["answer"], asked["ends"], [f["ids"][0] for f in draft])
            for ids, draft in zip(asked["chats"], chats, strict=True)
        ],
    }


def quantise(path, to, kind):
    """Writes a GGUF file of another of llama.cpp's types. Embeddings get 8 bits, as in the files
    that the models are pulled from."""
    import ctypes

    import engines
    import llama_cpp as c

    quiet = engines.silence(c)
    params = c.llama_model_quantize_default_params()
    params.ftype = getattr(c, f"LLAMA_FTYPE_MOSTLY_{kind}")
    params.allow_requantize = True
    params.output_tensor_type = params.token_embedding_type = c.GGML_TYPE_Q8_0
    if c.llama_model_quantize(path.encode(), (to + ".new").encode(), ctypes.byref(params)):
        raise SystemExit(f"llama.cpp cannot make {kind} of {path}")
    os.rename(to + ".new", to)
    del quiet


def compare(name, exact, found):
    count = same = apart = 0
    losses = [0.0, 0.0]
    for want, got in zip(sum(exact["texts"], []), sum(found["texts"], []), strict=True):
        count += 1
        same += want["ids"][0] == got["ids"][0]
        apart += abs(want["logprobs"][0] - logprob(got, want["ids"][0]))
        losses[0] -= want["next"]
        losses[1] -= got["next"]
    alike, differences, margin = 0, [], 0.0
    for want, got in zip(exact["chats"], found["chats"], strict=True):
        equal = True
        for w, g in zip(want, got):
            five = list(zip(w["ids"], w["logprobs"]))[:5]
            differences += [abs(p - logprob(g, i)) for i, p in five]
            if w["ids"][0] != g["ids"][0]:
                margin = max(margin, w["logprobs"][0] - logprob(w, g["ids"][0]))
                equal = False
                break
        alike += equal
    ratio = math.exp((losses[1] - losses[0]) / count)
    print(
        f"BenchmarkAgreement/{name} {count} {same / count:.5f} likeliest-ratio"
        f" {apart / count:.5f} dlp-nats {math.exp(losses[1] / count):.4f} ppl"
        f" {ratio:.6f} ppl-ratio {alike} same-answers"
        f" {sum(differences) / len(differences):.5f} answers-dlp-nats {margin:.3f} margin-nats"
    )


def answers(asked, exact):
    """Returns, as JSON, the chats and their answers, and the lead in nats of each token of an
    answer over the next best one."""
    lead = lambda f: round(f["logprobs"][0] - f["logprobs"][1], 4)
    out = {
        "chats": asked["chats"],
        "ends": asked["ends"],
        "answers": [[f["ids"][0] for f in chat] for chat in exact["chats"]],
        "leads": [[lead(f) for f in chat] for chat in exact["chats"]],
    }
    rows = lambda values: ",\n  ".join(json.dumps(v) for v in values)
    lines = [f' "{k}": [\n  ' + rows(values) + "\n ]" for k, values in out.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def logprob(found, token):
    """Returns the log-probability of a token. If the finding does not have it, that of its last
    token, which is higher, stands in for it."""
    return dict(zip(found["ids"], found["logprobs"])).get(token, found["logprobs"][-1])


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = ("questions", "quantise", "mlx-lm", "llama.cpp", "compare", "answers")
    p.add_argument("what", choices=commands)
    flags = "model tokenizer text gguf to type folder questions drafts name exact found"
    for flag in flags.split():
        p.add_argument("--" + flag)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    a = p.parse_args()
    read = lambda path: json.loads(pathlib.Path(path).read_text())
    if a.what == "questions":
        json.dump(questions(a.model, a.tokenizer, a.text), sys.stdout)
    elif a.what == "quantise":
        quantise(a.gguf, a.to, a.type)
    elif a.what == "mlx-lm":
        drafts = read(a.drafts) if a.drafts else None
        json.dump(find(MLXLM(a.folder), read(a.questions), drafts), sys.stdout)
    elif a.what == "llama.cpp":
        json.dump(find(LlamaCpp(a.gguf, a.threads), read(a.questions), None), sys.stdout)
    elif a.what == "answers":
        print(answers(read(a.questions), read(a.exact)))
    else:
        compare(a.name, read(a.exact), read(a.found))


if __name__ == "__main__":
    main()
