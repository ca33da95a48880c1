"""Shared by the two programs: the server's address, and checks."""

import json
import os
import time
import urllib.request

URL = os.environ["LOADSTONE_URL"]
LIMITED_URL = os.environ["LOADSTONE_LIMITED_URL"]  # takes 60 requests a minute
KEY = os.environ["LOADSTONE_KEY"]

SCHEMA = {
    "type": "object",
    "properties": {
        "place": {"enum": ["Rome", "Oslo"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["place", "days"],
    "additionalProperties": False,
}


def check(ok, *seen):
    if not ok:
        raise AssertionError(" ".join(str(s) for s in seen))


def is_weather(arguments):
    a = json.loads(arguments) if isinstance(arguments, str) else arguments
    check(
        set(a) == {"place", "days"} and a["place"] in ("Rome", "Oslo") and 1 <= a["days"] <= 9,
        "arguments",
        a,
    )


def metric(series):
    request = urllib.request.Request(URL + "/metrics", headers={"Authorization": "Bearer " + KEY})
    for line in urllib.request.urlopen(request).read().decode().splitlines():
        if line.startswith(series + " "):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError("no metric " + series)


CANCELLED = 'loadstone_ended_total{how="cancelled"}'


# The answers that are cancelled are too long to end, or to fit between the server and a client that
# does not read, before the client has gone, however slow it is.
LONG = 20_000


def wait_cancelled(before):
    """Waits until the server has cancelled a request and its blocks are free."""
    deadline = time.monotonic() + 60
    while metric(CANCELLED) == before or metric('loadstone_pool_blocks{state="used"}') != 0:
        check(time.monotonic() < deadline, "the server goes on for a client that is gone")
        time.sleep(0.01)


def raises(kind, call):
    try:
        call()
    except kind as e:
        return e
    raise AssertionError("no " + kind.__name__)
