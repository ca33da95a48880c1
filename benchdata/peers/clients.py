"""What load generators cost, and what they report, where the server answers at once, in the Go benchmark format.

    clients.py URL CACHE

URL is a server that sends 64 tokens without computing anything, CACHE the folder that `run setup` filled. Each client sends
chat requests with 32 streams at once, twice: few, and 1024 more. The difference is processor time for 1024 requests without
start-up, children included. The first token that a client reports, its median, is its own error: there was none to wait for.
"""

import json

import resource
import subprocess
import sys
import tempfile

STREAMS, FEW, MORE = 32, 64, 1024


def guidellm(url, cache, n, out):
    run(out, f"{cache}/peers/guidellm/bin/guidellm", "run", "--disable-console",
        "--backend", f"kind=openai_http,target={url},model=word,validate_backend=false",
        "--profile", f"kind=concurrent,streams={STREAMS}", "--constraint", f"kind=max_requests,count={n}",
        "--tokenizer", f"kind=huggingface_auto,model={cache}/models/smollm2",
        "--data", "kind=synthetic_text,prompt_tokens=16,output_tokens=64", "--output", f"kind=json,path={out}/r.json")
    metrics = json.load(open(f"{out}/r.json"))["benchmarks"][0]["metrics"]  # of a few requests fewer than it was told
    return metrics["request_totals"]["successful"], metrics["time_to_first_token_ms"]["successful"]["median"] * 1e6


def aiperf(url, cache, n, out):
    run(out, f"{cache}/peers/aiperf/bin/aiperf", "profile", "-m", "word", "-u", url, "--endpoint-type", "chat", "--streaming",
        "--concurrency", str(STREAMS), "--request-count", str(n), "--tokenizer", f"{cache}/models/smollm2",
        "--isl", "16", "--osl", "64", "--ui", "none", "--output-artifact-dir", out)
    result = json.load(open(f"{out}/profile_export_aiperf.json"))
    return result["request_count"]["avg"], result["time_to_first_token"]["p50"] * 1e6


def loadstone(url, cache, n, out):
    with open(f"{out}/load.txtar", "w") as f:
        f.write(f"-- load --\nconcurrency: {STREAMS}\nrequests: {n}\nprompt: 16\nanswer: 64\n")
    text = run(out, f"{cache}/peers/loadstone", "run", f"{out}/load.txtar", "-q", "-url", url, "-out", f"{out}/results", "-json")
    measured = json.loads(text)["scenarios"][0]["all"]
    return measured["outcomes"]["ok"], measured["times"]["ttft"]["p50_ns"]


def wrk(url, cache, n, out):
    """It reads answers whole and knows no tokens, so only its cost can be compared. It takes a time, not a number of requests."""
    with open(f"{out}/post.lua", "w") as f:
        f.write('wrk.method = "POST"\nwrk.body = \'{"messages":[{"role":"user","content":"hi"}],"stream":true}\'\n')
    text = run(out, "wrk", "-t2", f"-c{STREAMS}", "-d3s", "-s", f"{out}/post.lua", f"{url}/v1/chat/completions")
    return int(text.split(" requests in ")[0].split()[-1])


def run(out, *command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=out, text=True, timeout=300)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} exited with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def cpu():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


def timed(client, *args):
    """Processor seconds of one run, and what the client reports."""
    with tempfile.TemporaryDirectory() as out:
        before = cpu()
        result = client(*args, out)
        return cpu() - before, result


def main():
    url, cache = sys.argv[1:]
    for client in (loadstone, guidellm, aiperf):
        few, (fewer, _) = timed(client, url, cache, FEW)
        more, (n, ttft) = timed(client, url, cache, FEW + MORE)
        report(client, n - fewer, more - few, f" {ttft:.0f} p50-ttft-ns")
    seconds, n = timed(wrk, url, cache, 0)
    report(wrk, n, seconds)


def report(client, n, seconds, rest=""):
    print(f"client: {client.__name__}")
    print(f"BenchmarkNull/streams={STREAMS}/tokens=64 {n:.0f} {seconds / n * 1e9:.0f} cpu-ns/req{rest}", flush=True)


main()
