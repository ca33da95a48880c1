"""Tests a server's Responses API with OpenAI's official Python SDK."""

from typing import Literal

import openai
from pydantic import BaseModel, Field

from common import KEY, SCHEMA, URL, check, is_weather, raises

client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
params = dict(model="tiny", input="Hello", max_output_tokens=12, temperature=0)
tool = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}


def text_and_stream():
    whole = client.responses.create(**params, instructions="Be brief.")
    with client.responses.stream(**params, instructions="Be brief.") as stream:
        events = list(stream)
        final = stream.get_final_response() if events[-1].type == "response.completed" else None
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    check(text == whole.output_text, "streamed", repr(text), "whole", whole)
    check([e.sequence_number for e in events] == list(range(len(events))), events)
    check(events[-1].response.output_text == text, events[-1])
    check(final is None or final.output_text == text, final)
    check(whole.usage.input_tokens_details.cached_tokens >= 0 and whole.store, whole)


def tools():
    more = dict(params, tools=[tool], tool_choice="required", max_output_tokens=200)
    whole = client.responses.create(**more)
    call = whole.output[0]
    is_weather(call.arguments)
    with client.responses.stream(**more) as stream:
        same = stream.get_final_response().output[0]
    check(same.arguments == call.arguments and same.parsed_arguments, "streamed", same)
    after = client.responses.create(
        **dict(params, input=[{"role": "user", "content": "Hello"}, *whole.output,
               {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}])
    )
    check(after.status in ("completed", "incomplete"), after)


def schema():
    class Weather(BaseModel):
        place: Literal["Rome", "Oslo"]
        days: int = Field(ge=1, le=9)

    r = client.responses.parse(**dict(params, max_output_tokens=200), text_format=Weather)
    check(r.output_parsed.place in ("Rome", "Oslo"), r)


def chain():
    first = client.responses.create(**params)
    second = client.responses.create(**dict(params, input="More"), previous_response_id=first.id)
    check(second.previous_response_id == first.id, second)
    got = client.responses.retrieve(second.id)
    check(got.output_text == second.output_text, got)
    items = client.responses.input_items.list(second.id, order="asc").data
    check(len(items) == 1 and items[0].content == "More" or items[0].content[0].text == "More", items)
    client.responses.delete(second.id)
    raises(openai.NotFoundError, lambda: client.responses.retrieve(second.id))
    e = raises(
        openai.BadRequestError,
        lambda: client.responses.create(**params, previous_response_id=second.id),
    )
    check(e.code == "previous_response_not_found", e)
    n = client.responses.input_tokens.count(model="tiny", input="Hello").input_tokens
    check(n == first.usage.input_tokens, n, first.usage)


def refused():
    for more in (
        dict(background=True),
        dict(tools=[{"type": "web_search"}]),
        dict(truncation="auto"),
    ):
        e = raises(openai.BadRequestError, lambda: client.responses.create(**params, **more))
        check(e.code == "unsupported_parameter" and e.param in more, e.body)


for test in (text_and_stream, tools, schema, chain, refused):
    test()
    print("ok", test.__name__)
