"""Answers of one server to the questions of the engine's benchmark of drafts, in the Go benchmark format.

    drafts.py URL --model NAME --answers FOLDER

Each question is asked greedily and drawn with a seed, as a stream, and measured from the first piece of text to the last: so
many tokens a second, the first apart, by the server's own count. differ is 1 where the text is not the one that is in the
folder from the first time that somebody asked, 0 where it is; with the same folder for a server with drafts and without, it
counts the answers that drafts change.
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
    """The pieces' times, the text, the usage and what the server says of drafts."""
    at = urllib.parse.urlparse(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=120)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
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
            times, text, tokens, drafted, accepted = ask(args.url, body(args.model, question, TOKENS, sampling))
            digest = hashlib.sha256(text.encode()).hexdigest()
            first = args.answers / f"{args.model}-{work}-{kind}"
            if not first.exists():
                first.write_text(digest)
            took = times[-1] - times[0]
            line = f"BenchmarkDrafts/model={args.model}/work={work}/{kind} 1 {took * 1e9:.0f} ns/op"
            line += f" {(tokens - 1) / took:.2f} tok/s {tokens} tokens/answer {int(first.read_text() != digest)} differ"
            if drafted:
                line += f" {accepted / drafted:.3f} accepted/drafted {tokens / (tokens - accepted):.2f} tokens/step"
            print(line, flush=True)


main()
