/**
 * Refreshes the registered materialized views through the SQL function `refresh_materialized_view`.
 *
 * `POST` with a secret key answers `{"refreshed": [{view, refreshed_at, duration_ms, coalesced}], "failed":
 * [{view, code, message}]}`: 200 when every view was refreshed, 207 when some were, 500 when none was. One
 * view's failure does not stop the others. Which views may be refreshed at all is decided in SQL.
 */
import { isAuthorised } from "./authorisation.ts";

export const VIEWS = ["monthly_revenue", "user_cohorts", "product_performance"] as const;

/** The platform ends a request after 150 s without an answer; what is left over is for the answer itself. */
export const BUDGET_MS = 140_000;

export interface RefreshResult {
  view: string;
  refreshed_at: string;
  duration_ms: number;
  coalesced?: boolean;
}

interface RefreshFailure {
  view: string;
  code: string;
  message: string;
}

interface Report {
  refreshed: RefreshResult[];
  failed: RefreshFailure[];
}

export interface HandlerOptions {
  acceptedKeys: string[];
  refreshView: (view: string, signal: AbortSignal) => Promise<RefreshResult>;
  budgetMs?: number;
}

export function createHandler(options: HandlerOptions): (request: Request) => Promise<Response> {
  return async (request) => {
    if (request.method !== "POST") {
      return problem(405, "method-not-allowed", "use POST", { allow: "POST" });
    }
    if (!isAuthorised(request.headers, options.acceptedKeys)) {
      return problem(401, "unauthorised", "send a secret key in the apikey header");
    }
    const report = await refreshAll(options);
    return json(statusOf(report), report);
  };
}

/**
 * One after another: refreshes compete for the same disk and the database allows few connections. The budget
 * spans all of them, so that the caller always hears what happened instead of a platform timeout.
 */
async function refreshAll({ refreshView, acceptedKeys, budgetMs }: HandlerOptions): Promise<Report> {
  const signal = AbortSignal.timeout(budgetMs ?? BUDGET_MS);
  const report: Report = { refreshed: [], failed: [] };
  for (const view of VIEWS) {
    try {
      signal.throwIfAborted();
      const { refreshed_at, duration_ms, coalesced } = await refreshView(view, signal);
      report.refreshed.push({ view, refreshed_at, duration_ms, coalesced });
    } catch (error) {
      const reason = signal.aborted ? signal.reason : error;
      report.failed.push(failureOf(view, reason, acceptedKeys));
    }
  }
  return report;
}

function failureOf(view: string, error: unknown, secrets: string[]): RefreshFailure {
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return { view, code: "timeout", message: "not refreshed within the function's time limit" };
  }
  const { code, message } = error as { code?: unknown; message?: unknown };
  const text = typeof message === "string" ? message : "unknown error";
  return { view, code: typeof code === "string" ? code : "", message: redact(text, secrets) };
}

/** An HTTP client's error may quote the request's headers; the key must not get into the caller's logs. */
function redact(text: string, secrets: string[]): string {
  return secrets.reduce((clean, secret) => clean.replaceAll(secret, "[redacted]"), text);
}

function statusOf(report: Report): number {
  if (report.failed.length === 0) return 200;
  return report.refreshed.length === 0 ? 500 : 207;
}

function problem(status: number, slug: string, detail: string, headers: HeadersInit = {}): Response {
  const body = { type: `urn:penstock:problem:${slug}`, status, detail };
  return json(status, body, { "content-type": "application/problem+json", ...headers });
}

function json(status: number, body: unknown, headers: HeadersInit = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", ...headers },
  });
}
