// How long a service asks its clients to wait: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
import { maximumRetry } from "./backoff.ts";

/** The wait in milliseconds that a Retry-After header asks for, as seconds or a date; 0 for no header or anything else. */
export function parseRetryAfter(header: string | undefined, now: number): number {
  if (header === undefined || header.trim() === "") return 0;
  const milliseconds = /^\d+$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - now;
  return Number.isFinite(milliseconds) ? Math.max(0, milliseconds) : 0;
}

/** The `retryAfter` of an error, in milliseconds, up to `maximumRetry`; 0 for an error without it. */
export const retryAfterOf = (error: unknown): number =>
  error instanceof Error && "retryAfter" in error && typeof error.retryAfter === "number" && error.retryAfter > 0
    ? Math.min(maximumRetry, error.retryAfter)
    : 0;
