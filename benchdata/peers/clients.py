"""What a load generator costs, and what it reports, where the server answers at once.

    clients.py CLIENT URL CACHE

CLIENT is loadstone, guidellm, aiperf, wrk or k6, URL a server that sends answers without computing
anything, CACHE the folder that `run setup` filled. The client sends chat requests in 32 streams at
once, for answers of 64 pieces and, if it can ask for that, of one piece. It runs twice, with few
requests and with many more. The difference of the two runs' processor time, children included, is
what the further requests cost without start-up. req/s is its rate with the server on the same
processors. The median time to the first token that a client reports is its own error, because the
server makes nobody wait. wrk and k6 read answers whole and know no tokens. The output is in the Go
benchmark format.
"""

import json
import resource
import subprocess
import sys
import tempfile

STREAMS, FEW = 32, 64


def guidellm(url, cache, out, n, tokens):
    run(out, f"{cache}/peers/guidellm/bin/guidellm", "run", "--disable-console",
        "--backend", f"kind=openai_http,target={url},model=word,validate_backend=false",
        "--profile", f"kind=concurrent,streams={STREAMS}",
        "--constraint", f"kind=max_requests,count={n}",
        "--tokenizer", f"kind=huggingface_auto,model={cache}/models/smollm2",
        "--data", f"kind=synthetic_text,prompt_tokens=16,output_tokens={tokens}",
        "--output", f"kind=json,path={out}/r.json")
    # They cover a few requests fewer than it was told to send.
    metrics = json.load(open(f"{out}/r.json"))["benchmarks"][0]["metrics"]
    return (metrics["request_totals"]["successful"],
            metrics["requests_per_second"]["successful"]["mean"],
            metrics["time_to_first_token_ms"]["successful"]["median"] * 1e6)


def aiperf(url, cache, out, n, tokens):
    run(out, f"{cache}/peers/aiperf/bin/aiperf", "profile", "-m", "word", "-u", url,
        "--endpoint-type", "chat", "--streaming", "--concurrency", str(STREAMS),
        "--request-count", str(n), "--tokenizer", f"{cache}/models/smollm2",
        "--isl", "16", "--osl", str(tokens), "--ui", "none", "--output-artifact-dir", out)
    result = json.load(open(f"{out}/profile_export_aiperf.json"))
    return (result["request_count"]["avg"], result["request_throughput"]["avg"],
            result["time_to_first_token"]["p50"] * 1e6)


def loadstone(url, cache, out, n, tokens):
    with open(f"{out}/load.txtar", "w") as f:
        f.write(f"-- load --\nconcurrency: {STREAMS}\nrequests: {n}\n"
                f"prompt: 16\nanswer: {tokens}\n")
    text = run(out, f"{cache}/peers/loadstone", "run", f"{out}/load.txtar", "-q", "-url", url,
               "-out", f"{out}/results", "-json")
    measured = json.loads(text)["scenarios"][0]["all"]
    return measured["outcomes"]["ok"], measured["req_per_s"], measured["times"]["ttft"]["p50_ns"]


def wrk(url, cache, out, n, tokens):
    """It takes a time, not a number of requests."""
    with open(f"{out}/post.lua", "w") as f:
        f.write(f"wrk.method = 'POST'\nwrk.body = '{body(tokens)}'\n")
    seconds = 4 if n > FEW else 1
    text = run(out, "wrk", "-t2", f"-c{STREAMS}", f"-d{seconds}s", "-s", f"{out}/post.lua",
               f"{url}/v1/chat/completions")
    count = text.split(" requests in ")[0].split()[-1]
    rate = text.split("Requests/sec:")[1].split()[0]
    return int(count), float(rate), None


def k6(url, cache, out, n, tokens):
    with open(f"{out}/load.js", "w") as f:
        f.write("import http from 'k6/http';\n"
                f"export const options = {{ vus: {STREAMS}, iterations: {n} }};\n"
                "export default function () {\n"
                f"  http.post('{url}/v1/chat/completions', '{body(tokens)}');\n"
                "}\n")
    run(out, f"{cache}/peers/bin/k6", "run", "--quiet", "--no-usage-report",
        "--summary-export", f"{out}/r.json", f"{out}/load.js")
    requests = json.load(open(f"{out}/r.json"))["metrics"]["http_reqs"]
    return requests["count"], requests["rate"], None


def body(tokens):
    message = {"role": "user", "content": "hi"}
    return json.dumps({"messages": [message], "max_tokens": tokens, "stream": True})


# The lengths of answers that each client can ask for, and how many requests show its cost.
CLIENTS = {
    guidellm: ((64,), 512),
    aiperf: ((64,), 512),
    loadstone: ((64, 1), 8192),
    wrk: ((64, 1), 8192),
    k6: ((64, 1), 8192),
}


def run(out, *command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=out,
                          text=True, timeout=300)
    if done.returncode != 0:
        said = (done.stderr or done.stdout)[-2000:]
        raise SystemExit(f"{command[0]} exited with {done.returncode}: {said}")
    return done.stdout


def cpu():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


def timed(client, url, cache, n, tokens):
    """Processor seconds of one run, and what the client reports."""
    with tempfile.TemporaryDirectory() as out:
        before = cpu()
        result = client(url, cache, out, n, tokens)
        return cpu() - before, result


def main():
    name, url, cache = sys.argv[1:]
    client = globals()[name]
    answers, many = CLIENTS[client]
    print(f"client: {name}")
    for tokens in answers:
        few, (fewer, _, _) = timed(client, url, cache, FEW, tokens)
        more, (n, rate, ttft) = timed(client, url, cache, FEW + many, tokens)
        first = f" {ttft:.0f} p50-ttft-ns" if ttft is not None else ""
        each = (more - few) / (n - fewer)
        print(f"BenchmarkNull/streams={STREAMS}/tokens={tokens} {n - fewer:.0f}"
              f" {each * 1e9:.0f} cpu-ns/req {rate:.1f} req/s{first}", flush=True)


main()
