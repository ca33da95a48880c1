// Shared by the two programs: the server's address, and checks.
import assert from "node:assert/strict";

export const url = process.env.LOADSTONE_URL;
export const limitedURL = process.env.LOADSTONE_LIMITED_URL; // takes 60 requests a minute
export const key = process.env.LOADSTONE_KEY;

export const schema = {
  type: "object",
  properties: {
    place: { enum: ["Rome", "Oslo"] },
    days: { type: "integer", minimum: 1, maximum: 9 },
  },
  required: ["place", "days"],
  additionalProperties: false,
};

export function isWeather(json) {
  const a = typeof json === "string" ? JSON.parse(json) : json;
  assert.deepEqual(Object.keys(a).sort(), ["days", "place"]);
  assert.ok(["Rome", "Oslo"].includes(a.place) && a.days >= 1 && a.days <= 9, JSON.stringify(a));
}

async function metric(series) {
  const text = await (
    await fetch(url + "/metrics", { headers: { Authorization: "Bearer " + key } })
  ).text();
  return Number(
    text
      .split("\n")
      .find((l) => l.startsWith(series + " "))
      .split(" ")
      .at(-1),
  );
}

export const cancelled = () => metric('loadstone_ended_total{how="cancelled"}');

// The answers that are cancelled are too long to end, or to fit between the server and a client that
// does not read, before the client has gone, however slow it is.
export const long = 20_000;

// waitCancelled returns when the server has cancelled a request and its blocks are free.
export async function waitCancelled(before) {
  const deadline = Date.now() + 60_000;
  while (
    (await cancelled()) === before ||
    (await metric('loadstone_pool_blocks{state="used"}')) !== 0
  ) {
    assert.ok(Date.now() < deadline, "the server goes on for a client that is gone");
    await new Promise((done) => setTimeout(done, 10));
  }
}
