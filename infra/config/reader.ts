// Reads values of the stack's configuration and collects the mistakes in them.
import * as pulumi from "@pulumi/pulumi";
import { quoted } from "../../helper/shared/messages.ts";
import { isRecord } from "../../helper/shared/record.ts";

/**
 * Whether a key was set by `pulumi config set --secret`. Pulumi exports this function, but its types do not declare it.
 */
const { isConfigSecret } = pulumi.runtime as unknown as { isConfigSecret: (key: string) => boolean };

type Pattern = Pick<RegExp, "test">;
type Item = Readonly<Record<string, unknown>>;

/**
 * Reads values and collects mistakes. After a mistake a read still returns a value of the right type, which is never
 * used.
 */
export class ConfigReader {
  /** `ecr-helper:`, from the project's name in Pulumi.yaml. */
  readonly #prefix = `${new pulumi.Config().name}:`;
  /** Read once, because pulumi.Config decodes all values for each one it returns. */
  readonly #values = pulumi.runtime.allConfig();
  readonly #mistakes: string[] = [];
  readonly #known = new Set<string>();

  /** Adds a mistake in the value of a key. A secret value is not shown. */
  readonly addMistake = (key: string, value: string, expected: string): void => {
    this.#add(key, this.#displayValue(key, value), expected);
  };

  /** Adds a mistake in a part of a key's value, at a path as `pulumi config set --path` has it. */
  readonly addMistakeAt = (key: string, path: readonly (string | number)[], value: unknown, expected: string): void => {
    const shown = typeof value === "string" ? value : JSON.stringify(value);
    this.#add(
      this.isSecret(key) ? key : `${key}${path.map(displayStep).join("")}`,
      this.#displayValue(key, shown),
      expected,
    );
  };

  /** Adds a mistake in a list as a whole. It shows the number of entries, as the list may be long. */
  readonly addListMistake = (key: string, list: readonly unknown[], expected: string): void => {
    const count = `[${String(list.length)} ${list.length === 1 ? "entry" : "entries"}]`;
    this.#add(key, this.isSecret(key) ? "[secret]" : count, expected);
  };

  /** Whether the key was set with --secret. */
  readonly isSecret = (key: string): boolean => isConfigSecret(`${this.#prefix}${key}`);

  #add(key: string, displayed: string, expected: string): void {
    this.#mistakes.push(`${this.#prefix}${key} = ${displayed}: expected ${expected}`);
  }

  #parse<T>(key: string, parse: (text: string) => readonly T[] | undefined, expected: string): readonly T[] {
    const text = this.optional(key, /./s, expected) ?? "[]";
    const list = parse(text);
    if (list === undefined) this.addMistake(key, text, `a list: ${expected}`);
    return list ?? [];
  }

  #displayValue(key: string, value: string): string {
    return this.isSecret(key) || confidential[key]?.test(value) === true ? "[secret]" : quoted(value);
  }

  /** Adds an error that is not about a key's value. */
  readonly addError = (text: string): void => void this.#mistakes.push(text);

  /** Reads a text that must match the pattern; undefined if it is empty or not set. */
  readonly optional = (key: string, pattern: Pattern, expected: string): string | undefined => {
    this.#known.add(key);
    const value = this.#values[`${this.#prefix}${key}`] ?? "";
    if (value === "") return undefined;
    if (!pattern.test(value)) this.addMistake(key, value, expected);
    return value;
  };

  /** Reads the raw value; undefined if it is the same as not set: empty, `[]` or `false`. */
  readonly explicitValue = (key: string): string | undefined => {
    const value = this.#values[`${this.#prefix}${key}`] ?? "";
    return ["", "[]", "false"].includes(value) ? undefined : value;
  };

  /** Reads the raw value of a key of the AWS provider; undefined if it is empty or not set. */
  readonly ofAws = (key: string): string | undefined => {
    const value = this.#values[`aws:${key}`];
    return value === "" ? undefined : value;
  };

  /** Reads a text that must be set and match the pattern. */
  readonly string = (key: string, pattern: Pattern, expected: string): string => {
    const value = this.optional(key, pattern, expected);
    if (value === undefined) this.addMistake(key, "", expected);
    return value ?? "";
  };

  /** Reads one of the allowed values. */
  readonly oneOf = <T extends string>(key: string, allowed: readonly T[]): T =>
    this.string(key, new RegExp(`^(${allowed.join("|")})$`), allowed.join(", ")) as T;

  /** Reads `true` or `false`. */
  readonly boolean = (key: string): boolean => this.oneOf(key, ["true", "false"]) === "true";

  /** Reads a JSON list of texts, each of which must match the pattern. */
  readonly strings = (key: string, pattern: Pattern, expected: string): readonly string[] => {
    const list = this.#parse(key, parseStrings, expected);
    for (const one of list) if (!pattern.test(one)) this.addMistake(key, one, expected);
    return list;
  };

  /** Reads a JSON list of anything; its entries are still to be checked. */
  readonly list = (key: string, expected: string): readonly unknown[] => this.#parse(key, parseList, expected);

  /** Reads a JSON list of objects, each with its index. Any other element is a mistake, and is left out. */
  readonly objects = (key: string, expected: string): readonly (readonly [number, Item])[] =>
    [...this.list(key, expected).entries()].filter((entry): entry is [number, Item] => {
      if (isRecord(entry[1])) return true;
      this.addMistakeAt(key, [entry[0]], entry[1], `an object: ${expected}`);
      return false;
    });

  /**
   * Throws one RunError that lists all mistakes, unknown keys, and keys that must not be secret. Returns if there is
   * none.
   */
  readonly throwMistakes = (): void => {
    const setKeys = Object.keys(this.#values).filter((key) => key.startsWith(this.#prefix));
    for (const key of setKeys.map((one) => one.slice(this.#prefix.length))) {
      if (this.#known.has(key)) continue;
      const remedy = renamed[key] ?? "`pulumi config` lists them";
      this.#mistakes.push(`${this.#prefix}${displayKey(key)}: there is no such key; ${remedy}`);
    }
    for (const key of [...this.#known].filter((one) => this.isSecret(one) && !secretKeys.has(one))) {
      const why = "names, policies and environments that are made of it stand in Pulumi's state";
      this.addMistake(key, "", `a value that is set without --secret: ${why}`);
    }
    if (this.#mistakes.length === 0) return;
    throw new pulumi.RunError(
      `The stack's configuration is wrong, and nothing was changed:\n  ${this.#mistakes.join("\n  ")}`,
    );
  };
}

/** Keys that may be set with --secret, because their values stay secret in Pulumi's state. */
const secretKeys = new Set(["kubeconfig"]);

/**
 * Which values of a key are not shown. The content of a kubeconfig may contain keys; unlike a path it has several lines, or
 * a brace. Before an @ in a URL there may be a password, and a private key is taken for a certificate.
 */
const confidential: Readonly<Record<string, RegExp>> = { kubeconfig: /[\n{]/, proxy: /@/, caBundle: /PRIVATE/ };

/** What to set instead of keys that earlier versions had. */
const renamed: Readonly<Record<string, string>> = {
  serviceAccount: `set serviceAccounts to a list, such as '["builder-sa"]'`,
};

const displayKey = (key: string): string => (/^[\w.-]{1,100}$/.test(key) ? key : quoted(key));

/** A step of a path: an index of a list, or a key. */
const displayStep = (step: string | number): string => {
  if (typeof step === "number") return `[${String(step)}]`;
  return /^\w{1,100}$/.test(step) ? `.${step}` : `[${quoted(step)}]`;
};

function parseStrings(text: string): string[] | undefined {
  const parsed = parseList(text);
  return parsed?.every((one) => typeof one === "string") === true ? parsed : undefined;
}

function parseList(text: string): unknown[] | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) ? parsed : undefined;
  } catch {
    return undefined; // Not JSON: the caller adds the mistake.
  }
}
