// Reads environment variables and collects every mistake in them, so that one error reports them all.
import type { HelperVariable } from "../shared/environment.ts";
import { quoted } from "../shared/messages.ts";

/** The environment of a process: `process.env`, or that of a Deployment's container. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Parses the value of a variable; undefined where it is wrong. */
export type Parse<T> = (value: string) => T | undefined;

/** Takes the values that match a pattern. */
export const matching =
  (pattern: Pick<RegExp, "test">): Parse<string> =>
  (value) =>
    pattern.test(value) ? value : undefined;

/** Takes the values that are listed. */
export const oneOf =
  <T extends string>(allowed: readonly T[]): Parse<T> =>
  (value) =>
    allowed.find((one) => one === value);

/** Takes a comma-separated list, without empty items and duplicates, if `parse` takes every item. */
export const commaSeparated =
  <T>(parse: Parse<T>): Parse<readonly T[]> =>
  (value) => {
    const parsed = [...new Set(value.split(",").filter((one) => one !== ""))].map(parse);
    return parsed.includes(undefined) ? undefined : (parsed as T[]);
  };

/** The same of a list that must not be empty. */
export const atLeastOne =
  <T>(parse: Parse<T>): Parse<readonly T[]> =>
  (value) =>
    /^,*$/.test(value) ? undefined : commaSeparated(parse)(value);

/** Reads variables one by one and collects the mistakes. Its user calls `throwMistakes` before anyone sees a value. */
export class EnvironmentReader {
  readonly #env: Environment;
  readonly #mistakes: string[] = [];

  constructor(env: Environment) {
    this.#env = env;
  }

  /** Reads a variable; one that is not set is read as empty. The result is undefined, against its type, after a mistake. */
  read<T>(name: HelperVariable, expected: string, parse: Parse<T>): T {
    const value = this.#env[name] ?? "";
    const parsed = parse(value);
    if (parsed === undefined) this.addMistake(name, value, expected);
    return parsed as T;
  }

  /** Adds a mistake that only several values together show. */
  addMistake(name: HelperVariable, value: string, expected: string): void {
    this.#mistakes.push(`${name}=${quoted(value)}: expected ${expected}`);
  }

  /** Throws one error with a line for each mistake, if there is any. */
  throwMistakes(): void {
    if (this.#mistakes.length === 0) return;
    throw new Error(`The helper's environment is wrong:\n  ${this.#mistakes.join("\n  ")}`);
  }
}
