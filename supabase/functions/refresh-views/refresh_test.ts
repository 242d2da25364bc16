import assert from "node:assert/strict";
import { createHandler, type HandlerOptions, VIEWS } from "./refresh.ts";

const KEY = "sb_secret_of_the_test";

function handler(overrides: Partial<HandlerOptions> = {}) {
  return createHandler({
    acceptedKeys: [KEY, "sb_secret_second"],
    refreshView: (view) => Promise.resolve(refreshed(view)),
    ...overrides,
  });
}

function refreshed(view: string) {
  return { view, refreshed_at: "2026-11-20T10:00:00+00:00", duration_ms: 7.5, coalesced: false };
}

function post(headers: Record<string, string> = { apikey: KEY }) {
  return new Request("http://localhost/refresh-views", { method: "POST", headers });
}

Deno.test("every view is refreshed in the registered order and reported", async () => {
  const order: string[] = [];
  const answer = await handler({
    refreshView: (view) => {
      order.push(view);
      return Promise.resolve(refreshed(view));
    },
  })(post());
  assert.equal(answer.status, 200);
  assert.deepEqual(order, ["monthly_revenue", "user_cohorts", "product_performance"]);
  assert.deepEqual(await answer.json(), { refreshed: VIEWS.map(refreshed), failed: [] });
});

Deno.test("views are refreshed one after another", async () => {
  let running = 0;
  let most = 0;
  await handler({
    refreshView: async (view) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running--;
      return refreshed(view);
    },
  })(post());
  assert.equal(most, 1);
});

Deno.test("one failing view answers 207 and does not stop the others", async () => {
  const answer = await handler({
    refreshView: (view) =>
      view === "user_cohorts"
        ? Promise.reject(Object.assign(new Error("permission denied"), { code: "42501" }))
        : Promise.resolve(refreshed(view)),
  })(post());
  assert.equal(answer.status, 207);
  const body = await answer.json();
  assert.deepEqual(body.refreshed.map((row: { view: string }) => row.view), [
    "monthly_revenue",
    "product_performance",
  ]);
  assert.deepEqual(body.failed, [{ view: "user_cohorts", code: "42501", message: "permission denied" }]);
});

Deno.test("when every view fails the answer is 500 with every reason", async () => {
  const answer = await handler({ refreshView: () => Promise.reject(new Error("no route to host")) })(post());
  assert.equal(answer.status, 500);
  const body = await answer.json();
  assert.deepEqual(body.refreshed, []);
  assert.deepEqual(body.failed.map((row: { view: string }) => row.view), [...VIEWS]);
});

Deno.test("a view that outlasts the time limit is reported, and those after it are not begun", async () => {
  const begun: string[] = [];
  const answer = await handler({
    budgetMs: 20,
    refreshView: (view, signal) => {
      begun.push(view);
      if (view === "monthly_revenue") return Promise.resolve(refreshed(view));
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
    },
  })(post());
  assert.equal(answer.status, 207);
  const body = await answer.json();
  assert.deepEqual(begun, ["monthly_revenue", "user_cohorts"]);
  assert.deepEqual(body.failed.map((row: { code: string }) => row.code), ["timeout", "timeout"]);
});

Deno.test("a secret quoted by an error does not reach the answer", async () => {
  const answer = await handler({
    refreshView: () => Promise.reject(new Error(`bad header apikey: ${KEY}`)),
  })(post());
  const text = await answer.text();
  assert.ok(!text.includes(KEY), text);
  assert.ok(text.includes("[redacted]"), text);
});

const refusals: [string, Record<string, string>][] = [
  ["no key", {}],
  ["an empty key", { apikey: "" }],
  ["a wrong key", { apikey: "sb_secret_wrong" }],
  ["a prefix of the key", { apikey: KEY.slice(0, -1) }],
  ["the key with something behind it", { apikey: KEY + "x" }],
  ["a bearer of the wrong key", { authorization: "Bearer nonsense" }],
  ["another scheme", { authorization: `Basic ${KEY}` }],
  ["a wrong apikey beside a right bearer", { apikey: "wrong", authorization: `Bearer ${KEY}` }],
];

for (const [what, headers] of refusals) {
  Deno.test(`a call with ${what} is refused and refreshes nothing`, async () => {
    let called = false;
    const answer = await handler({
      refreshView: (view) => {
        called = true;
        return Promise.resolve(refreshed(view));
      },
    })(post(headers));
    assert.equal(answer.status, 401);
    assert.equal(answer.headers.get("content-type"), "application/problem+json");
    assert.equal((await answer.json()).type, "urn:penstock:problem:unauthorised");
    assert.equal(called, false);
  });
}

Deno.test("each accepted key is let in, by apikey and by bearer", async () => {
  for (const key of [KEY, "sb_secret_second"]) {
    const ways: Record<string, string>[] = [{ apikey: key }, { authorization: `Bearer ${key}` }];
    for (const headers of ways) {
      const answer = await handler()(post(headers));
      assert.equal(answer.status, 200, JSON.stringify(headers));
      await answer.body?.cancel();
    }
  }
});

Deno.test("other methods are refused with the allowed one named", async () => {
  for (const method of ["GET", "PUT", "DELETE", "OPTIONS"]) {
    const answer = await handler()(new Request("http://localhost/", { method, headers: { apikey: KEY } }));
    assert.equal(answer.status, 405);
    assert.equal(answer.headers.get("allow"), "POST");
    await answer.body?.cancel();
  }
});
