// Reads the fields of one object of a list, and collects the mistakes in them.
import { isRecord } from "../../helper/shared/record.ts";
import type { ConfigReader } from "./reader.ts";

/** Texts by key. */
export type Texts = Readonly<Record<string, string>>;
/** What is expected instead of a text; undefined for a valid one. */
export type Rule = (text: string) => string | undefined;
/** The same for an entry of a map. */
export type EntryRule = (key: string, text: string) => string | undefined;

/** The rule of the texts that match a pattern. */
export const matching =
  (pattern: Pick<RegExp, "test">, expected: string): Rule =>
  (text) =>
    pattern.test(text) ? undefined : expected;

/** One object of a list. A field that is missing, or of another type, is read as undefined; only the latter is a mistake. */
export class ItemReader {
  readonly #config: ConfigReader;
  readonly #key: string;
  readonly #index: number;
  readonly #item: Readonly<Record<string, unknown>>;

  constructor(config: ConfigReader, key: string, index: number, item: Readonly<Record<string, unknown>>) {
    [this.#config, this.#key, this.#index, this.#item] = [config, key, index, item];
  }

  /** Whether a field is there. */
  has(field: string): boolean {
    return Object.hasOwn(this.#item, field);
  }

  /** Adds a mistake in a field, or in an entry of it. */
  addMistake(path: readonly (string | number)[], value: unknown, expected: string): void {
    this.#config.addMistakeAt(this.#key, [this.#index, ...path], value, expected);
  }

  /** Adds a mistake for a field that is there and may not be. */
  reject(field: string, expected: string): void {
    if (this.has(field)) this.addMistake([field], this.#item[field], expected);
  }

  /** Adds a mistake for each field that is not one of these. */
  allowOnly(fields: readonly string[]): void {
    for (const field of Object.keys(this.#item))
      if (!fields.includes(field)) this.reject(field, `no such field, but ${fields.join(", ")}`);
  }

  text(field: string, rule: Rule): string | undefined {
    if (!this.has(field)) return undefined;
    const value = this.#item[field];
    this.#check([field], value, rule);
    return typeof value === "string" ? value : undefined;
  }

  list(field: string, rule: Rule): readonly string[] | undefined {
    const entries = this.entries(field, "a list of texts");
    for (const [index, entry] of (entries ?? []).entries()) this.#check([field, index], entry, rule);
    return entries?.filter((one) => typeof one === "string");
  }

  /** A list of anything; its entries are still to be checked. */
  entries(field: string, expected: string): readonly unknown[] | undefined {
    if (!this.has(field)) return undefined;
    const value = this.#item[field];
    if (Array.isArray(value)) return value as unknown[];
    this.addMistake([field], value, expected);
    return undefined;
  }

  /** Whether a field has anything but an empty list. */
  isFilled(field: string): boolean {
    const value = this.#item[field];
    return this.has(field) && !(Array.isArray(value) && value.length === 0);
  }

  texts(field: string, rule: EntryRule): Texts | undefined {
    if (!this.has(field)) return undefined;
    const value = this.#item[field];
    if (!isRecord(value)) this.addMistake([field], value, "texts by key");
    const entries = Object.entries(isRecord(value) ? value : {});
    for (const [key, entry] of entries) this.#check([field, key], entry, (text) => rule(key, text));
    return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
  }

  #check(path: readonly (string | number)[], value: unknown, rule: Rule): void {
    const expected = typeof value === "string" ? rule(value) : aText;
    if (expected !== undefined) this.addMistake(path, value, expected);
  }
}

/** YAML and `pulumi config set --path` take `true` and `1` for no text. */
const aText = "a text, in quotes";
