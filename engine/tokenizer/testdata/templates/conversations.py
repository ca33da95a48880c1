"""The conversations of oracle.py: the variables of a template."""

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city, in °C",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": 'A city\'s name, e.g. "Köln"'},
                "days": {"type": "integer", "minimum": 1, "default": 3},
                "unit": {"type": "string", "enum": ["C", "F"]},
                "flags": {"type": "array", "items": {"type": "string"}},
                "more": {"type": "object", "properties": {"x": {"type": ["number", "null"]}}},
            },
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "The time",
        "parameters": {"type": "object", "properties": {}},
    },
}


def say(*pairs, **more):
    messages = [{"role": role, "content": content} for role, content in pairs]
    return dict(
        messages=messages, tools=None, documents=None, add_generation_prompt=True,
        bos_token="<s>", eos_token="</s>", **more,
    )


def call(name, arguments, content=""):
    return {
        "role": "assistant", "content": content,
        "tool_calls": [{"type": "function", "id": "call12345", "function": {"name": name, "arguments": arguments}}],
    }


def tools(*messages):
    return dict(say(), messages=list(messages), tools=[WEATHER, CLOCK])


USER = {"role": "user", "content": "How is the weather in Köln?"}
THOUGHT = "<think>\nThe user wants a rhyme.\n\nEasy.\n</think>\n\nRose, prose."

CONVERSATIONS = [
    say(("user", "Hello")),
    say(("system", "Be brief."), ("user", "Hello")),
    say(("user", "Hello"), ("assistant", "Hi!"), ("user", "And now?")),
    say(("system", "You are\nhelpful."), ("user", "Hello"), ("assistant", "Hi!"), ("user", "Bye")),
    say(("user", "")),
    say(("system", "  \n"), ("user", "  two spaces \n\n"), ("assistant", " \tanswer \n"), ("user", "\n\nx\n")),
    say(("user", "Rhyme"), ("assistant", THOUGHT), ("user", "More"), ("assistant", THOUGHT), ("user", "End")),
    say(("user", "Rhyme"), ("assistant", "Thought without an opening tag\n</think>\n\nRose."), ("user", "More")),
    say(("user", "Rhyme"), ("assistant", "a</think>b</think>c"), ("user", "<think>no</think>x")),
    say(("user", "Go"), ("assistant", "ok"), ("user", "<tool_response>\n{\"a\": 1}\n</tool_response>")),
    say(("user", "Größe 大小 😀 e\u0301 \u00a0nbsp\u2028line"), ("assistant", "ŉ ß İ ǆ Σίσυφος"), ("user", "日本")),
    say(("user", "quote ' \" \\ \\n \t tab & <b> \u0007 \u007f"), ("assistant", "{\"k\": [1, 2.50, null]}"), ("user", "%s %d {} {{ x }} {% raw %} {# c #}")),
    say(("system", "Think. /no_think"), ("user", "Hello /think"), ("assistant", "Hi"), ("user", "/no_think Bye")),
    say(("user", "one"), ("user", "two")),
    say(("user", "one"), ("assistant", "two"), ("system", "Now in German."), ("user", "three")),
    say(("user", "one"), ("assistant", "two"), ("assistant", "three"), ("user", "four")),
    say(("user", "Hello"), ("assistant", "Hi, I")),
    say(("system", "Only a system message.")),
    dict(say(("user", "Hello"), ("assistant", "Hi!")), add_generation_prompt=False),
    say(("user", "one"), ("tool", "a result\n"), ("user", "two")),
    # What follows has what the server gives no template today: tools, their calls, reasoning.
    tools(USER),
    tools({"role": "system", "content": "Use tools."}, USER, call("get_weather", {"city": "Köln", "days": 2, "flags": ["a"], "more": {"x": None}}), {"role": "tool", "name": "get_weather", "tool_call_id": "call12345", "content": "{\"t\": 21.5}"}, {"role": "assistant", "content": "21.5 °C"}, {"role": "user", "content": "Thanks"}),
    tools(USER, call("clock", {}, "Let me look."), {"role": "tool", "name": "clock", "tool_call_id": "call12345", "content": "12:00"}),
    dict(say(("user", "Think"), ("assistant", "Done."), ("user", "Again")), enable_thinking=False),
    dict(tools(USER, {"role": "assistant", "content": "Mild.", "reasoning_content": "I know it."}, {"role": "user", "content": "Sure?"}), enable_thinking=True, reasoning_effort="high"),
]
