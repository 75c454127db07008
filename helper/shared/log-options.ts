// The levels and formats of the log.
// One line per event: in the origin's words (text), or as JSON with fields for machines.
export const levels = ["debug", "info", "warn", "error"] as const;

export type Level = (typeof levels)[number];

export const formats = ["text", "json"] as const;

export type Format = (typeof formats)[number];
