"""Tests a server with OpenAI's official Python SDK."""

from typing import Literal

import openai
from pydantic import BaseModel, Field

from common import (
    CANCELLED,
    KEY,
    LIMITED_URL,
    LONG,
    SCHEMA,
    URL,
    check,
    is_weather,
    metric,
    raises,
    wait_cancelled,
)

client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
params = dict(
    model="tiny",
    messages=[
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
    ],
    max_completion_tokens=12,
    temperature=0,
)
tool = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}


def text_and_stream():
    whole = client.chat.completions.create(**params)
    chunks = list(
        client.chat.completions.create(
            **params, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    check(text == whole.choices[0].message.content, "streamed", repr(text), "whole", whole)
    check(all(c.usage is None for c in chunks[:-1]) and not chunks[-1].choices, "usage", chunks)
    check(chunks[-1].usage.total_tokens == whole.usage.total_tokens, chunks[-1].usage, whole.usage)
    check(
        len({c.id for c in chunks}) == 1 and chunks[0].choices[0].delta.role == "assistant",
        chunks[0],
    )
    check(
        whole.system_fingerprint == chunks[0].system_fingerprint
        and whole._request_id.startswith("req_"),
        whole,
    )


def choices():
    both = client.chat.completions.create(**params, n=2)
    check([c.index for c in both.choices] == [0, 1], both)
    check(both.choices[0].message.content == both.choices[1].message.content, both)
    texts = ["", ""]
    for chunk in client.chat.completions.create(**params, n=2, stream=True):
        for c in chunk.choices:
            texts[c.index] += c.delta.content or ""
    check(texts == [c.message.content for c in both.choices], texts)


def logprobs_and_bias():
    c = client.chat.completions.create(**params, logprobs=True, top_logprobs=3).choices[0]
    first = c.logprobs.content[0]
    check(
        len(c.logprobs.content) > 0
        and len(first.top_logprobs) == 3
        and first.logprob == first.top_logprobs[0].logprob,
        c,
    )
    check(
        b"".join(bytes(t.bytes) for t in c.logprobs.content).decode(errors="replace")
        == c.message.content,
        c,
    )
    c = client.completions.create(
        model="tiny", prompt="Once", max_tokens=6, temperature=0, logprobs=2, logit_bias={"65": 100}
    ).choices[0]
    check(len(set(c.logprobs.tokens)) == 1, "a bias of 100 leaves one token:", c)


def tools():
    more = dict(params, tools=[tool], tool_choice="required", max_completion_tokens=200)
    whole = client.chat.completions.create(**more).choices[0]
    call = whole.message.tool_calls[0]
    check(
        whole.finish_reason == "tool_calls"
        and whole.message.content is None
        and call.function.name == "weather",
        whole,
    )
    is_weather(call.function.arguments)
    name, arguments = "", ""
    for c in client.chat.completions.create(**more, stream=True):
        for t in c.choices[0].delta.tool_calls or []:
            check(t.index == 0 and not c.choices[0].delta.content, c)
            name, arguments = name + (t.function.name or ""), arguments + t.function.arguments
    check((name, arguments) == ("weather", call.function.arguments), "streamed", name, arguments)
    more["messages"] = params["messages"] + [
        whole.message,
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    client.chat.completions.create(
        **dict(more, tool_choice={"type": "function", "function": {"name": "weather"}})
    )


class Weather(BaseModel):
    place: Literal["Rome", "Oslo"]
    days: int = Field(ge=1, le=9)


def schema():
    parsed = client.chat.completions.parse(
        **dict(params, max_completion_tokens=200), response_format=Weather
    )
    check(parsed.choices[0].message.parsed.place in ("Rome", "Oslo"), parsed)
    with client.chat.completions.stream(
        **dict(params, max_completion_tokens=200), response_format=Weather
    ) as stream:
        check(
            stream.get_final_completion().choices[0].message.parsed
            == parsed.choices[0].message.parsed,
            "streamed and parsed",
        )


def memory():
    agent = {"X-Agent-ID": "python-openai"}
    first = client.chat.completions.create(**params, extra_headers=agent)
    turns = params["messages"] + [
        first.choices[0].message,
        {"role": "user", "content": "And then?"},
    ]
    r = client.chat.completions.with_raw_response.create(
        **dict(params, messages=turns), extra_headers=agent
    )
    u = r.parse().usage
    had = first.usage.prompt_tokens + first.usage.completion_tokens - 1
    check(
        u.prompt_tokens_details.cached_tokens >= had and r.headers["X-Cache-Tier"] == "hot",
        u,
        r.headers,
    )
    check("decode;dur=" in r.headers["Server-Timing"], r.headers)


def errors():
    e = raises(openai.BadRequestError, lambda: client.chat.completions.create(**params, n=9))
    check(e.param == "n" and e.code == "invalid_value" and e.request_id, e.body)
    raises(
        openai.AuthenticationError, lambda: client.with_options(api_key="sk-other").models.list()
    )
    raises(openai.NotFoundError, lambda: client.models.retrieve("gpt-4"))
    raises(
        openai.APITimeoutError,
        lambda: client.with_options(timeout=0.001).chat.completions.create(
            **dict(params, max_completion_tokens=300)
        ),
    )
    check([m.id for m in client.models.list()] == ["tiny"], "models")


def cancellation():
    before = metric(CANCELLED)
    stream = client.chat.completions.create(
        **dict(params, max_completion_tokens=LONG),
        stream=True,
        extra_body={"ignore_eos": True},
    )
    events = iter(stream)
    for _ in range(3):
        next(events)
    stream.close()
    wait_cancelled(before)


def retries():
    limited = openai.OpenAI(base_url=LIMITED_URL + "/v1", api_key=KEY, max_retries=2)
    for _ in range(200):
        r = limited.chat.completions.with_raw_response.create(
            **dict(params, max_completion_tokens=1)
        )
        if r.retries_taken:
            return check(r.retries_taken == 1 and r.parse().choices, r.headers)
    raise AssertionError("the server refused nothing")


for test in (
    text_and_stream,
    choices,
    logprobs_and_bias,
    tools,
    schema,
    memory,
    errors,
    cancellation,
    retries,
):
    test()
    print("ok", test.__name__)
