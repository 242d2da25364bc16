// Serves Supabase's HTTP API over a Postgres through @supabase/lite, and prints its port.
//
// One difference from the hosted API is mended: a SQLSTATE without a mapping of its own, such as the project's
// class PK, is answered as 500 "SUP" with the state lost. PostgREST answers 400 and carries it in `code`.
import { createServer } from "node:http";
import postgres from "postgres";
import { App } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";

const MARK = "unmapped database error ";

// The package turns an unmapped error into its text: let the text carry all that PostgREST would say.
postgres.PostgresError.prototype.toString = function () {
  const { code, message, detail, hint } = this;
  return MARK + JSON.stringify({ code, message, details: detail ?? null, hint: hint ?? null });
};

const app = new App({
  connection: createPostgresConnection({ url: process.env.DATABASE_URL }),
  auth: { enabled: false, publishable_key: process.env.PUBLISHABLE_KEY, secret_key: process.env.SECRET_KEY },
  options: { server: { admin: false } },
});
await app.init();

async function requestOf(incoming) {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const body = chunks.length > 0 ? Buffer.concat(chunks) : undefined;
  const { method, headers } = incoming;
  return new Request(`http://${headers.host}${incoming.url}`, { method, headers, body });
}

function mended(status, text) {
  if (status !== 500 || !text.includes(MARK)) return { status, text };
  return { status: 400, text: JSON.parse(text).message.slice(MARK.length) };
}

const server = createServer(async (incoming, outgoing) => {
  const answer = await app.fetch(await requestOf(incoming), { peerAddress: null });
  const { status, text } = mended(answer.status, await answer.text());
  answer.headers.delete("content-length");
  outgoing.writeHead(status, Object.fromEntries(answer.headers));
  outgoing.end(text);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
