// One line per event: in the origin's words (text), or as JSON with fields for machines.
export const levels = ["debug", "info", "warn", "error"] as const;
export type Level = (typeof levels)[number];

export const formats = ["text", "json"] as const;
export type Format = (typeof formats)[number];

/** Facts about an event; they appear in JSON only, the message says the same in words. Never a token or a key. */
export type Fields = Readonly<Record<string, string | number | boolean>>;
export type Log = (level: Level, message: string, fields?: Fields) => void;

/** Gives a log that writes complete lines to `write`. Text lines of a warning or an error start with that word. */
export function createLog(format: Format, least: Level, write: (line: string) => void): Log {
  return (level, message, fields = {}) => {
    if (levels.indexOf(level) < levels.indexOf(least)) return;
    const said = tame(message);
    const text = level === "warn" || level === "error" ? `${level}: ${said}` : said;
    const json = (): string => JSON.stringify({ time: new Date().toISOString(), level, message: said, ...fields });
    write(`${format === "json" ? json() : text}\n`);
  };
}

/** No message is longer, in characters. */
const maxMessage = 4_096;

/**
 * A message that may quote others, as one line that a terminal shows as it is: what would end the line, move the cursor or turn the
 * writing is escaped, and no more is said than a line should hold.
 */
export function tame(message: string): string {
  const [begun, length] = [message.slice(0, maxMessage), message.length];
  const text = length > maxMessage ? `${begun}... (${String(length)} characters)` : message;
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escaped);
}

const escaped = (character: string): string =>
  character === "\n" ? "\\n" : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;

/** What an error says, with what caused it. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${reasonOf(error.cause)}`;
}

/** The first line of what AWS says: it may repeat the whole request, its session token included, after that. */
export const firstLine = (error: unknown): string => reasonOf(error).split("\n")[0] ?? "";

/** A value as messages show it: quoted, and only the beginning of a very long one. */
export const quoted = (value: string): string =>
  value.length <= 1000
    ? JSON.stringify(value)
    : `${JSON.stringify(value.slice(0, 1000))}... (${String(value.length)} characters)`;

export const inSeconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;

/** A moment in the words of `date -u`, as the origin's log has it: `Sat May  4 17:44:27 UTC 2019`. */
export function formatDate(moment: Date): string {
  const [weekday = "", day = "", month = "", year = "", time = ""] = moment.toUTCString().replace(",", "").split(" ");
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} UTC ${year}`;
}
