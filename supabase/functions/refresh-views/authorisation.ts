/**
 * Compares a caller's key with the accepted ones in constant time.
 *
 * Both sides are hashed first, so that neither a key's length nor the place of its first wrong character can
 * be read from the clock, and every accepted key is compared even after a match.
 */
import { createHash, timingSafeEqual } from "node:crypto";

export function isAuthorised(headers: Headers, acceptedKeys: string[]): boolean {
  const presented = presentedKey(headers);
  if (presented === null) return false;
  const digest = sha256(presented);
  return acceptedKeys.map((key) => timingSafeEqual(digest, sha256(key))).includes(true);
}

/** `apikey` is Supabase's header for keys; `Authorization: Bearer` is what plain HTTP schedulers can send. */
function presentedKey(headers: Headers): string | null {
  const apiKey = headers.get("apikey")?.trim();
  if (apiKey) return apiKey;
  const bearer = headers.get("authorization")?.match(/^Bearer\s+(\S+)\s*$/i);
  return bearer ? bearer[1] : null;
}

function sha256(text: string): Uint8Array {
  return createHash("sha256").update(text, "utf8").digest();
}
