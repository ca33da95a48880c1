"""Asks one server the questions of the engine's benchmark of drafts.

    drafts.py URL --model NAME --answers FOLDER

Each question is asked twice, greedily and with tokens drawn from a seed, as a stream. tok/s is the
tokens after the first, by the server's own count, over the time from the first piece of text to the
last. FOLDER keeps a digest of the first answer to each question; differ is 1 where this answer is
another text than that, else 0. With one folder for a server with drafts and without, differ counts
the answers that drafts change. The output is in the Go benchmark format.
"""

import argparse
import hashlib
import http.client
import json
import pathlib
import time
import urllib.parse

WORKS = ("rewrite", "tools", "quote", "prose")
KINDS = {
    "greedy": {"temperature": 0},
    "drawn": {"temperature": 0.7, "top_p": 0.9, "top_k": 0, "min_p": 0, "seed": 7},
}
TOKENS = 256


def ask(url, body):
    """Returns the times of the pieces, the text, and the server's counts: tokens of the answer,
    tokens drafted and tokens accepted."""
    at = urllib.parse.urlparse(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=120)
    connection.request("POST", "/v1/chat/completions", json.dumps(body),
                       {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(f"{response.status}: {response.read()[:500]}")
    times, text, usage, timings = [], "", {}, {}
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        usage = event.get("usage") or usage
        timings = event.get("timings") or timings
        for choice in event["choices"]:
            if piece := choice["delta"].get("content"):
                times.append(time.perf_counter())
                text += piece
    connection.close()
    drafts = usage.get("drafts", {})
    drafted = drafts.get("drafted_tokens", timings.get("draft_n", 0))
    accepted = drafts.get("accepted_tokens", timings.get("draft_n_accepted", 0))
    return times, text, usage["completion_tokens"], drafted, accepted


def body(model, question, tokens, kind):
    return {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        **kind,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--model", required=True)
    parser.add_argument("--answers", required=True, type=pathlib.Path)
    args = parser.parse_args()
    args.answers.mkdir(parents=True, exist_ok=True)
    questions = pathlib.Path(__file__).parents[2] / "engine/testdata/drafts"
    ask(args.url, body(args.model, "Hello", 16, KINDS["greedy"]))
    for work in WORKS:
        question = (questions / f"{work}.txt").read_text()
        for kind, sampling in KINDS.items():
            asked = body(args.model, question, TOKENS, sampling)
            times, text, tokens, drafted, accepted = ask(args.url, asked)
            digest = hashlib.sha256(text.encode()).hexdigest()
            first = args.answers / f"{args.model}-{work}-{kind}"
            if not first.exists():
                first.write_text(digest)
            took = times[-1] - times[0]
            line = f"BenchmarkDrafts/model={args.model}/work={work}/{kind} 1 {took * 1e9:.0f} ns/op"
            line += f" {(tokens - 1) / took:.2f} tok/s {tokens} tokens/answer"
            line += f" {int(first.read_text() != digest)} differ"
            if drafted:
                line += f" {accepted / drafted:.3f} accepted/drafted"
                line += f" {tokens / (tokens - accepted):.2f} tokens/step"
            print(line, flush=True)


main()
