// What others can write is taken by its shape: whatever else stands there is as good as nothing.

/** A value as an object with any fields; one without fields for anything else. */
export const asRecord = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

/** A value as a list; an empty one for anything else. */
export const asArray = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

export const isString = (value: unknown): value is string => typeof value === "string";

/** A text as the JSON of an object; one without fields for any other text, and for none. */
export function parseRecord(text: unknown): Readonly<Record<string, unknown>> {
  try {
    return isString(text) ? asRecord(JSON.parse(text)) : {};
  } catch {
    return {}; // Not JSON: there is nothing in it to go on from.
  }
}
