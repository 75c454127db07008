// The log: one line per event, as text or as JSON.
import { levels, type Format, type Level } from "../shared/log-options.ts";
import { sanitize } from "../shared/messages.ts";

/** Facts about an event, for JSON only; the message has them in words. Never a token or a key. */
export type Fields = Readonly<Record<string, string | number | boolean>>;
/** Writes one line. `message` may quote others: it is sanitized. */
export type Log = (level: Level, message: string, fields?: Fields) => void;

/** A log that passes complete lines of the level `least` or above to `write`. Text lines start with `warn: ` or `error: `. */
export function createLog(format: Format, least: Level, write: (line: string) => void): Log {
  return (level, message, fields = {}) => {
    if (levels.indexOf(level) < levels.indexOf(least)) return;
    const safe = sanitize(message);
    const text = level === "warn" || level === "error" ? `${level}: ${safe}` : safe;
    const json = (): string => JSON.stringify({ time: new Date().toISOString(), level, message: safe, ...fields });
    write(`${format === "json" ? json() : text}\n`);
  };
}

/** A time as `date -u` prints it, as in the log of the origin script: `Sat May  4 17:44:27 UTC 2019`. */
export function formatDate(moment: Date): string {
  const [weekday = "", day = "", month = "", year = "", time = ""] = moment.toUTCString().replace(",", "").split(" ");
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} UTC ${year}`;
}
