import assert from "node:assert/strict";
import { settingsFrom } from "./settings.ts";

function settings(variables: Record<string, string>) {
  return settingsFrom((name) => variables[name]);
}

const URL_ONLY = { SUPABASE_URL: "https://project.supabase.co" };

Deno.test("the default key of a hosted project calls the database, every key is accepted", () => {
  const found = settings({
    ...URL_ONLY,
    SUPABASE_SECRET_KEYS: '{"cron":"sb_secret_b","default":"sb_secret_a"}',
    SUPABASE_SERVICE_ROLE_KEY: "legacy",
  });
  assert.equal(found.apiKey, "sb_secret_a");
  assert.deepEqual(found.acceptedKeys, ["sb_secret_a", "sb_secret_b", "legacy"]);
});

Deno.test("a single key is enough", () => {
  assert.deepEqual(settings({ ...URL_ONLY, SUPABASE_SECRET_KEY: " sb_secret_a " }).acceptedKeys, [
    "sb_secret_a",
  ]);
});

Deno.test("blank keys do not count", () => {
  const blank = { ...URL_ONLY, SUPABASE_SECRET_KEYS: '{"default":" ","n":1}', SUPABASE_SECRET_KEY: "" };
  assert.throws(() => settings(blank), /neither SUPABASE_SECRET_KEYS nor SUPABASE_SECRET_KEY/);
});

Deno.test("the function is called in public, unless another schema is set", () => {
  const variables = { ...URL_ONLY, SUPABASE_SECRET_KEY: "sb_secret_a" };
  assert.equal(settings(variables).schema, "public");
  assert.equal(settings({ ...variables, PENSTOCK_PUBLIC_SCHEMA: "sales" }).schema, "sales");
});

Deno.test("a missing address is named", () => {
  assert.throws(() => settings({ SUPABASE_SECRET_KEY: "k" }), /SUPABASE_URL is not set/);
});

const broken = {
  "plain text": "sb_secret_plain",
  "an array": "[]",
  "a string": '"sb_secret_plain"',
  "null": "null",
};

for (const [shape, json] of Object.entries(broken)) {
  Deno.test(`SUPABASE_SECRET_KEYS as ${shape} is refused without quoting it`, () => {
    const wrong = { ...URL_ONLY, SUPABASE_SECRET_KEYS: json };
    assert.throws(() => settings(wrong), (error: Error) => {
      return error.message.includes("SUPABASE_SECRET_KEYS") && !error.message.includes("sb_secret");
    });
  });
}
