// Text for the log, errors and Events.

/**
 * Makes a message that may quote others safe to print: line breaks, control characters and those that change the direction
 * of text are escaped, and a long message is cut.
 */
export function sanitize(message: string): string {
  const { length } = message;
  const text = length > maxMessage ? `${message.slice(0, maxMessage)}... (${String(length)} characters)` : message;
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escaped);
}

/** The most characters of a message that are shown. */
export const maxMessage = 4096;

/** A character as an escape sequence of JavaScript: `\n`, `\u{1b}`. */
export const escaped = (character: string): string =>
  character === "\n" ? "\\n" : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;

/** The message of an error and of its causes. */
export function errorMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${errorMessage(error.cause)}`;
}

/** The first line of an error's message. AWS may repeat the whole request after it, with the session token. */
export const firstLine = (error: unknown): string => errorMessage(error).split("\n")[0] ?? "";

/** A value as JSON, for a message; only the first 1,000 characters of a longer one. */
export const quoted = (value: string): string =>
  value.length <= 1000
    ? JSON.stringify(value)
    : `${JSON.stringify(value.slice(0, 1000))}... (${String(value.length)} characters)`;

/** A duration as seconds with one decimal: `1.5 s`. */
export const formatSeconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;
