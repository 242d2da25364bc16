/**
 * The Edge Function `refresh-views`: wires the environment and supabase-js to the rules in `refresh.ts`.
 * A misconfigured project fails here, at boot, with the name of the missing variable.
 */
import { createClient } from "@supabase/supabase-js";
import { settingsFrom } from "./settings.ts";
import { createHandler, type RefreshResult } from "./refresh.ts";

const settings = settingsFrom((name) => Deno.env.get(name));

const client = createClient(settings.url, settings.apiKey, {
  db: { schema: settings.schema },
  auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
});

async function refreshView(view: string, signal: AbortSignal): Promise<RefreshResult> {
  const { data, error } = await client
    .rpc("refresh_materialized_view", { view_name: view })
    .abortSignal(signal);
  if (error) throw Object.assign(new Error(error.message), { code: error.code });
  return data;
}

Deno.serve(createHandler({ acceptedKeys: settings.acceptedKeys, refreshView }));
