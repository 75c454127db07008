// How long a service asks to be left alone: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
import { maximumRetry } from "./backoff.ts";

/** Seconds or a date, as in the header, into milliseconds; 0 for none and for anything else. */
export function parseRetryAfter(header: string | undefined, now: number): number {
  if (header === undefined || header.trim() === "") return 0;
  const milliseconds = /^\d+$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - now;
  return Number.isFinite(milliseconds) ? Math.max(0, milliseconds) : 0;
}

/**
 * What the service asked for that refused with this error, in milliseconds; 0 where it asked for nothing. Nobody is waited for
 * longer than `maximumRetry`, whatever he asks for.
 */
export const retryAfterOf = (error: unknown): number =>
  error instanceof Error && "retryAfter" in error && typeof error.retryAfter === "number" && error.retryAfter > 0
    ? Math.min(maximumRetry, error.retryAfter)
    : 0;
