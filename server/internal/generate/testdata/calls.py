"""Makes calls.json beside this file: how the chat templates that models were published with write an
answer with calls of tools, and which of the marks of toolform.go they have.

The templates themselves are not stored. llama.cpp's source has them in models/templates; the sdist of
llama-cpp-python 0.3.36 has that source in vendor/llama.cpp:

    pip install jinja2==3.1.6
    python server/internal/generate/testdata/calls.py LLAMA_CPP
"""

import datetime
import json
import pathlib
import sys

import jinja2.sandbox
from jinja2.ext import loopcontrols

HERE = pathlib.Path(__file__).parent
TEMPLATES = [
    "Mistral-Small-3.2-24B-Instruct-2506",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "Qwen-QwQ-32B", "Qwen-Qwen2.5-7B-Instruct",
    "Qwen-Qwen3-0.6B", "Qwen3-Coder", "Qwen3.5-4B", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "deepseek-ai-DeepSeek-V3.1", "meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct",
    "mistralai-Ministral-3-14B-Reasoning-2512", "mistralai-Mistral-Nemo-Instruct-2407",
    "unsloth-mistral-Devstral-Small-2507",
]
# What toolForms in toolform.go looks for in a template.
MARKS = [
    "<function=", "<parameter=", "[TOOL_CALLS]", "[TOOL_CALLS] [", "[ARGS]", "[CALL_ID]",
    "<｜tool▁calls▁begin｜>", "```json", "ipython", '"parameters": ', "<tool_call>",
    '"arguments": ', "tools",
]
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "of a place", "parameters": {
        "type": "object", "properties": {
            "place": {"type": "string"}, "days": {"type": "integer"},
            "units": {"type": "array", "items": {"type": "string"}}},
        "required": ["place"]}}},
    {"type": "function", "function": {"name": "now", "description": "the time", "parameters": {
        "type": "object", "properties": {}}}},
]
CALLS = [
    ("weather", {"place": 'Oslo "é" {}', "days": 2, "units": ["m", "s]"]}),
    ("now", {}),
]


def render(source, messages, prompt):
    def raise_exception(message):
        raise jinja2.TemplateError(message)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    env.filters["tojson"] = lambda x, indent=None, **_: json.dumps(
        x, ensure_ascii=False, indent=indent)
    env.globals |= {"raise_exception": raise_exception, "strftime_now":
                    lambda form: datetime.datetime(2026, 1, 1).strftime(form)}
    return env.from_string(source).render(
        messages=messages, tools=TOOLS, add_generation_prompt=prompt, bos_token="<s>",
        eos_token="</s>")


def written(source, calls, as_text):
    """Returns what a template writes for an answer with calls, from its role on."""
    user = [{"role": "user", "content": "go"}]
    functions = [{"name": name, "arguments": json.dumps(a, ensure_ascii=False) if as_text else a}
                 for name, a in calls]
    answer = {"role": "assistant", "content": "", "tool_calls": [
        {"id": f"abcdefgh{i}", "type": "function", "function": f}
        for i, f in enumerate(functions)]}
    before = render(source, user, False)
    whole = render(source, user + [answer], False)
    return whole.removeprefix(before)


def main():
    folder = pathlib.Path(sys.argv[1]) / "models/templates"
    rows = []
    for name in TEMPLATES:
        source = (folder / (name + ".jinja")).read_text()
        row = {"name": name, "marks": [m for m in MARKS if m in source]}
        for calls in (CALLS, CALLS[:1]):  # some write one call and no more
            for as_text in (False, True):
                try:
                    row["text"] = written(source, calls, as_text)
                    row["calls"] = len(calls)
                    break
                except Exception as e:
                    print(name, e)
            if "text" in row:
                break
        rows.append(row)
        print(json.dumps(row, ensure_ascii=False))
    (HERE / "calls.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")


main()
