import { levels, type Format, type Level } from "../shared/log-options.ts";
import { sanitize } from "../shared/messages.ts";

/** Facts about an event; they appear in JSON only, the message says the same in words. Never a token or a key. */
export type Fields = Readonly<Record<string, string | number | boolean>>;
export type Log = (level: Level, message: string, fields?: Fields) => void;

/** Gives a log that writes complete lines to `write`. Text lines of a warning or an error start with that word. */
export function createLog(format: Format, least: Level, write: (line: string) => void): Log {
  return (level, message, fields = {}) => {
    if (levels.indexOf(level) < levels.indexOf(least)) return;
    const said = sanitize(message);
    const text = level === "warn" || level === "error" ? `${level}: ${said}` : said;
    const json = (): string => JSON.stringify({ time: new Date().toISOString(), level, message: said, ...fields });
    write(`${format === "json" ? json() : text}\n`);
  };
}

/** A moment in the words of `date -u`, as the origin's log has it: `Sat May  4 17:44:27 UTC 2019`. */
export function formatDate(moment: Date): string {
  const [weekday = "", day = "", month = "", year = "", time = ""] = moment.toUTCString().replace(",", "").split(" ");
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} UTC ${year}`;
}
