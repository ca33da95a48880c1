"""Tests a server with Anthropic's official Python SDK."""

from typing import Literal

import anthropic
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

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
params = dict(
    model="tiny",
    max_tokens=12,
    system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    messages=[{"role": "user", "content": "Hello"}],
    extra_body={"temperature": 0},  # this version has no argument for it
)


def prompt(u):
    return u.input_tokens + u.cache_creation_input_tokens + u.cache_read_input_tokens


def text_and_stream():
    whole = client.messages.create(**params)
    with client.messages.stream(**params) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    check(
        text == whole.content[0].text == final.content[0].text,
        "streamed",
        repr(text),
        "whole",
        whole,
    )
    check(
        final.stop_reason == whole.stop_reason
        and final.usage.output_tokens == whole.usage.output_tokens,
        final.usage,
        whole.usage,
    )
    counted = client.messages.count_tokens(
        model="tiny", system=params["system"], messages=params["messages"]
    ).input_tokens
    check(prompt(final.usage) == prompt(whole.usage) == counted, final.usage, whole.usage, counted)
    kinds = [e.type for e in client.messages.create(**params, stream=True)]
    check(
        kinds[:2] == ["message_start", "content_block_start"]
        and kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"],
        kinds,
    )
    check(whole._request_id.startswith("req_"), whole)


def stop_sequence():
    said = client.messages.create(**params).content[0].text
    stop = said[3:6]
    m = client.messages.create(**params, stop_sequences=[stop])
    check(
        m.stop_reason == "stop_sequence"
        and m.stop_sequence == stop
        and m.content[0].text == said[: said.index(stop)],
        said,
        m,
    )


def tools():
    more = dict(
        params,
        max_tokens=200,
        tools=[{"name": "weather", "input_schema": SCHEMA}],
        tool_choice={"type": "any"},
    )
    whole = client.messages.create(**more)
    with client.messages.stream(**more) as stream:
        final = stream.get_final_message()
    for m in (whole, final):
        check(m.stop_reason == "tool_use" and [b.type for b in m.content] == ["tool_use"], m)
        is_weather(m.content[0].input)
    check(whole.content[0].input == final.content[0].input, whole, final)
    result = {"type": "tool_result", "tool_use_id": whole.content[0].id, "content": "rain"}
    client.messages.create(
        **dict(
            more,
            messages=params["messages"]
            + [
                {"role": "assistant", "content": whole.content},
                {"role": "user", "content": [result]},
            ],
        )
    )


class Weather(BaseModel):
    place: Literal["Rome", "Oslo"]
    days: int = Field(description="how many")


def schema():
    parsed = client.messages.parse(**dict(params, max_tokens=200), output_format=Weather)
    check(parsed.parsed_output.place in ("Rome", "Oslo"), parsed)


def memory():
    agent = {"X-Session-ID": "python-anthropic"}
    first = client.messages.create(**params, extra_headers=agent)
    turns = params["messages"] + [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": "And then?"},
    ]
    u = client.messages.create(**dict(params, messages=turns), extra_headers=agent).usage
    check(
        u.cache_read_input_tokens >= prompt(first.usage) + first.usage.output_tokens - 1
        and u.input_tokens == 0,
        u,
    )


def errors():
    e = raises(
        anthropic.BadRequestError,
        lambda: client.messages.create(**dict(params, extra_body={"temperature": 2})),
    )
    check(
        e.body["error"]["type"] == "invalid_request_error" and e.body["request_id"] == e.request_id,
        e.body,
    )
    raises(
        anthropic.AuthenticationError,
        lambda: client.with_options(api_key="sk-other").messages.create(**params),
    )
    raises(anthropic.NotFoundError, lambda: client.messages.create(**dict(params, model="claude")))
    raises(
        anthropic.APITimeoutError,
        lambda: client.with_options(timeout=0.001).messages.create(**dict(params, max_tokens=300)),
    )


def cancellation():
    before = metric(CANCELLED)
    stream = client.messages.create(
        **dict(params, max_tokens=LONG, extra_body={"ignore_eos": True}), stream=True
    )
    events = iter(stream)
    for _ in range(3):
        next(events)
    stream.close()
    wait_cancelled(before)


def retries():
    limited = anthropic.Anthropic(base_url=LIMITED_URL, api_key=KEY, max_retries=2)
    for _ in range(200):
        r = limited.messages.with_raw_response.create(**dict(params, max_tokens=1))
        if r.retries_taken:
            return check(r.retries_taken == 1 and r.parse().content, r.headers)
    raise AssertionError("the server refused nothing")


for test in (text_and_stream, stop_sequence, tools, schema, memory, errors, cancellation, retries):
    test()
    print("ok", test.__name__)
