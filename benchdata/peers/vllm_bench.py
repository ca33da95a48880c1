"""Runs the benchmark of vllm bench serve without vLLM: its client, schedule and metrics, from the
unchanged files of its wheel, with stubs in place of what else they import.

    vllm_bench.py FOLDER TOKENIZER

FOLDER has vllm/benchmarks/serve.py and lib/ of the wheel. Each line of standard input is a
measurement in JSON: url, requests, concurrency, rate (one of the two is 0), out. Those that come
together are made together, since starting Python costs more than measuring.
"""
import asyncio
import dataclasses
import importlib.machinery
import json
import logging
import os
import random
import sys
import types

folder, tokenizer = sys.argv[1:]


@dataclasses.dataclass
class SampleRequest:
    prompt: str
    prompt_len: int
    expected_output_len: int
    multi_modal_data: dict = None
    lora_request: object = None
    request_id: str = None
    request_overrides: dict = None
    chat_messages: list = None
    timestamp: float = None


def stub(name, path=None, **names):
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=path is not None)
    if path is not None:
        module.__path__ = path
    if path is None:
        module.__getattr__ = lambda attribute: None  # what the benchmark of text never calls
    for key, value in names.items():
        setattr(module, key, value)
    sys.modules[name] = module


stub("vllm", [folder + "/vllm"])
stub("vllm.benchmarks", [folder + "/vllm/benchmarks"])
stub("vllm.benchmarks.lib", [folder + "/vllm/benchmarks/lib"])
stub("vllm.benchmarks.datasets", SampleRequest=SampleRequest)
stub("vllm.tokenizers", TokenizerLike=object)
stub("vllm.logger", init_logger=logging.getLogger)
stub("vllm.utils", [folder + "/none"])
stub("vllm.utils.argparse_utils", FlexibleArgumentParser=object)
stub("vllm.utils.gc_utils", freeze_gc_heap=lambda: None)
stub("vllm.utils.network_utils")

from transformers import AutoTokenizer  # noqa: E402
from vllm.benchmarks import serve  # noqa: E402

tok = AutoTokenizer.from_pretrained(tokenizer)
WORDS = "time year people way day man thing woman life child world school state family".split()


def prompts(n):
    """The same in each run, as those of a data set of a fixed seed."""
    rng = random.Random(0)
    texts = [" ".join(rng.choice(WORDS) for _ in range(64)) for _ in range(n)]
    return [SampleRequest(t, len(tok(t).input_ids), 32, request_id=str(i))
            for i, t in enumerate(texts)]


PROMPTS = prompts(256)  # made before anything is timed


async def run(job):
    """One measurement. What it would write, or why there is nothing, is in the file job["out"]."""
    url = job["url"]
    try:
        result = await serve.benchmark(
            task_type=serve.TaskType.GENERATION, endpoint_type="openai-chat",
            api_url=url + "/v1/chat/completions", base_url=url, model_id="truthful-1b",
            model_name="truthful-1b", tokenizer=tok, input_requests=PROMPTS[:job["requests"]],
            logprobs=None, request_rate=job["rate"] or float("inf"), burstiness=1.0,
            disable_tqdm=True, num_warmups=0, profile=False, ready_check_timeout_sec=30,
            selected_percentile_metrics=["ttft", "tpot", "itl", "e2el"],
            selected_percentiles=[50.0, 95.0, 99.0], ignore_eos=False, goodput_config_dict={},
            max_concurrency=job["concurrency"] or None, lora_modules=None, extra_headers=None,
            extra_body=None)
        result = {k: v for k, v in result.items() if isinstance(v, (int, float))}
    except Exception as e:
        result = {"error": f"{type(e).__name__}: {e}"}
    with open(job["out"] + ".part", "w") as f:
        json.dump(result, f)
    os.rename(job["out"] + ".part", job["out"])


async def main():
    tasks = []
    while text := await asyncio.to_thread(sys.stdin.readline):
        tasks.append(asyncio.create_task(run(json.loads(text))))
    await asyncio.gather(*tasks)


asyncio.run(main())
