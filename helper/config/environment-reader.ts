// Reads variables of the environment and collects the mistakes in them.
import type { HelperVariable } from "../shared/environment.ts";
import { quoted } from "../shared/messages.ts";

/** Gives what a value means; undefined where it is wrong. */
type Parse<T> = (value: string) => T | undefined;

export const matching =
  (pattern: Pick<RegExp, "test">): Parse<string> =>
  (value) =>
    pattern.test(value) ? value : undefined;

export const oneOf =
  <T extends string>(allowed: readonly T[]): Parse<T> =>
  (value) =>
    allowed.find((one) => one === value);

/** Distinct values between commas; what is between two commas in a row, or after the last, is none. */
export const several =
  <T>(parse: Parse<T>): Parse<readonly T[]> =>
  (value) => {
    const parsed = [...new Set(value.split(",").filter((one) => one !== ""))].map(parse);
    return parsed.includes(undefined) ? undefined : (parsed as T[]);
  };

/** Reads values and collects mistakes. What a read gives after a mistake is never used. */
export class EnvironmentReader {
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #mistakes: string[] = [];

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.#env = env;
  }

  readonly mistake = (name: HelperVariable, value: string, expected: string): void =>
    void this.#mistakes.push(`${name}=${quoted(value)}: expected ${expected}`);

  readonly read = <T>(name: HelperVariable, expected: string, parse: Parse<T>, fallback?: string): T => {
    const value = this.#env[name] ?? fallback ?? "";
    const parsed = parse(value);
    if (parsed === undefined) this.mistake(name, value, expected);
    // A mistake is thrown at the end, before anybody sees the undefined.
    return parsed as T;
  };

  readonly throwMistakes = (): void => {
    if (this.#mistakes.length === 0) return;
    throw new Error(`The helper's environment is wrong:\n  ${this.#mistakes.join("\n  ")}`);
  };
}
