// Texts for the log, errors and Events.
/**
 * A message that may quote others, as one line that a terminal shows as it is: what would end the line, move the cursor or turn the
 * writing is escaped, and no more is said than a line should hold.
 */
export function sanitize(message: string): string {
  const [begun, length] = [message.slice(0, maxMessage), message.length];
  const text = length > maxMessage ? `${begun}... (${String(length)} characters)` : message;
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escaped);
}

/** No message is longer, in characters. */
export const maxMessage = 4096;

export const escaped = (character: string): string =>
  character === "\n" ? "\\n" : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;

/** What an error says, with what caused it. */
export function errorMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${errorMessage(error.cause)}`;
}

/** The first line of what AWS says: it may repeat the whole request, its session token included, after that. */
export const firstLine = (error: unknown): string => errorMessage(error).split("\n")[0] ?? "";

/** A value as messages show it: quoted, and only the beginning of a very long one. */
export const quoted = (value: string): string =>
  value.length <= 1000
    ? JSON.stringify(value)
    : `${JSON.stringify(value.slice(0, 1000))}... (${String(value.length)} characters)`;

export const formatSeconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;
