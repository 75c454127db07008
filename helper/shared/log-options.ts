// The levels and formats of the log.

/** From the least severe to the most. */
export const levels = ["debug", "info", "warn", "error"] as const;

/** How severe an event is. */
export type Level = (typeof levels)[number];

/** `text` has the lines of the origin script; `json` adds fields for machines. */
export const formats = ["text", "json"] as const;

/** How a line is written. */
export type Format = (typeof formats)[number];
