/**
 * Reads the function's settings from the environment.
 *
 * Hosted projects get `SUPABASE_SECRET_KEYS`, a JSON object of name → key, so that keys can be rotated one by
 * one; `SUPABASE_SECRET_KEY` (one key) serves self-hosted and local runs; `SUPABASE_SERVICE_ROLE_KEY` is the
 * legacy key that some projects still carry. Every key that is set is accepted from callers; the first one is
 * used to call the database. `PENSTOCK_PUBLIC_SCHEMA` is set where Penstock is not in `public`.
 */
export interface Settings {
  url: string;
  apiKey: string;
  acceptedKeys: string[];
  schema: string;
}

export type ReadVariable = (name: string) => string | undefined;

/** Collect the settings; throws an error that names the variable, never its value. */
export function settingsFrom(read: ReadVariable): Settings {
  const url = read("SUPABASE_URL")?.trim();
  if (!url) throw new Error("SUPABASE_URL is not set");
  const acceptedKeys = secretKeys(read);
  if (acceptedKeys.length === 0) {
    throw new Error("neither SUPABASE_SECRET_KEYS nor SUPABASE_SECRET_KEY is set");
  }
  return {
    url,
    apiKey: acceptedKeys[0],
    acceptedKeys,
    schema: read("PENSTOCK_PUBLIC_SCHEMA")?.trim() || "public",
  };
}

function secretKeys(read: ReadVariable): string[] {
  const single = [read("SUPABASE_SECRET_KEY"), read("SUPABASE_SERVICE_ROLE_KEY")];
  const candidates = [...namedKeys(read("SUPABASE_SECRET_KEYS")), ...single];
  return [...new Set(candidates.map((key) => key?.trim() ?? ""))].filter((key) => key !== "");
}

function namedKeys(json: string | undefined): string[] {
  if (!json?.trim()) return [];
  const named = parseObject(json);
  const { default: first, ...others } = named;
  return [first, ...Object.values(others)].filter((key) => typeof key === "string");
}

function parseObject(json: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    // The parser's own message quotes the text, which is a secret.
    throw new Error("SUPABASE_SECRET_KEYS is not JSON");
  }
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) {
    throw new Error("SUPABASE_SECRET_KEYS is not a JSON object of name to key");
  }
  return parsed as Record<string, unknown>;
}
