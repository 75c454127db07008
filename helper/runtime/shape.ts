// Reads values that others can write: a value of another type than expected counts as absent.
import { isRecord } from "../shared/record.ts";

/** The value if it is an object; an empty object for anything else. */
export const asRecord = (value: unknown): Readonly<Record<string, unknown>> => (isRecord(value) ? value : {});

/** The value if it is an array; an empty array for anything else. */
export const asArray = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** Whether a value is a string. */
export const isString = (value: unknown): value is string => typeof value === "string";

/** Parses the JSON of an object; an empty object for any other text or value. Never throws. */
export function parseRecord(text: unknown): Readonly<Record<string, unknown>> {
  try {
    return isString(text) ? asRecord(JSON.parse(text)) : {};
  } catch {
    return {};
  }
}
