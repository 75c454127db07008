// Reads values of the stack's configuration and collects the mistakes in them.
import * as pulumi from "@pulumi/pulumi";
import { quoted } from "../../helper/shared/messages.ts";

/** Whether a key was set by `pulumi config set --secret`: Pulumi's own, which its types leave out. */
const { isConfigSecret } = pulumi.runtime as unknown as { isConfigSecret: (key: string) => boolean };

type Pattern = Pick<RegExp, "test">;

/** Reads values and collects mistakes. What a read gives after a mistake is of the right type and never used. */
export class ConfigReader {
  /** `ecr-helper:`, as Pulumi.yaml names the project. */
  readonly #prefix = `${new pulumi.Config().name}:`;
  /** Read once: pulumi.Config decodes all of them for each one. */
  readonly #values = pulumi.runtime.allConfig();
  readonly #mistakes: string[] = [];
  readonly #known = new Set<string>();

  readonly mistake = (key: string, value: string, expected: string): void => {
    this.#add(key, this.#shown(key, value), expected);
  };

  /** A mistake in a list as a whole, which may be long. */
  readonly mistakeOfList = (key: string, list: readonly string[], expected: string): void => {
    const count = `[${String(list.length)} ${list.length === 1 ? "entry" : "entries"}]`;
    this.#add(key, this.isSecret(key) ? "[secret]" : count, expected);
  };

  readonly isSecret = (key: string): boolean => isConfigSecret(`${this.#prefix}${key}`);

  #add(key: string, shown: string, expected: string): void {
    this.#mistakes.push(`${this.#prefix}${key} = ${shown}: expected ${expected}`);
  }

  /** The content of a kubeconfig has keys in it; its path has one line. */
  #shown(key: string, value: string): string {
    const isContent = key === "kubeconfig" && /[\n{]/.test(value);
    return this.isSecret(key) || isContent ? "[secret]" : quoted(value);
  }

  /** A mistake that is not in a value of the configuration. */
  readonly addError = (text: string): void => void this.#mistakes.push(text);

  readonly optional = (key: string, pattern: Pattern, expected: string): string | undefined => {
    this.#known.add(key);
    const value = this.#values[`${this.#prefix}${key}`] ?? "";
    if (value === "") return undefined;
    if (!pattern.test(value)) this.mistake(key, value, expected);
    return value;
  };

  /** A value as it is given; undefined where it is the same as none. */
  readonly explicitValue = (key: string): string | undefined => {
    const value = this.#values[`${this.#prefix}${key}`] ?? "";
    return ["", "[]", "false"].includes(value) ? undefined : value;
  };

  readonly string = (key: string, pattern: Pattern, expected: string): string => {
    const value = this.optional(key, pattern, expected);
    if (value === undefined) this.mistake(key, "", expected);
    return value ?? "";
  };

  readonly oneOf = <T extends string>(key: string, allowed: readonly T[]): T =>
    this.string(key, new RegExp(`^(${allowed.join("|")})$`), allowed.join(", ")) as T;

  readonly boolean = (key: string): boolean => this.oneOf(key, ["true", "false"]) === "true";

  readonly strings = (key: string, pattern: Pattern, expected: string): readonly string[] => {
    const text = this.optional(key, /./s, expected) ?? "[]";
    const list = parseStrings(text);
    if (list === undefined) this.mistake(key, text, `a list: ${expected}`);
    for (const one of list ?? []) if (!pattern.test(one)) this.mistake(key, one, expected);
    return list ?? [];
  };

  readonly throwMistakes = (): void => {
    const given = Object.keys(this.#values).filter((key) => key.startsWith(this.#prefix));
    for (const key of given.map((one) => one.slice(this.#prefix.length))) {
      if (this.#known.has(key)) continue;
      this.#mistakes.push(`${this.#prefix}${shownKey(key)}: there is no such key; \`pulumi config\` lists them`);
    }
    for (const key of [...this.#known].filter((one) => this.isSecret(one) && !maySecret.has(one))) {
      const why = "names, policies and environments that are made of it stand in Pulumi's state";
      this.mistake(key, "", `a value that is set without --secret: ${why}`);
    }
    if (this.#mistakes.length === 0) return;
    throw new pulumi.RunError(
      `The stack's configuration is wrong, and nothing was changed:\n  ${this.#mistakes.join("\n  ")}`,
    );
  };
}

/** What stays a secret in the state. */
const maySecret = new Set(["kubeconfig"]);

const shownKey = (key: string): string => (/^[\w.-]{1,100}$/.test(key) ? key : quoted(key));

function parseStrings(text: string): string[] | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) && parsed.every((one) => typeof one === "string") ? parsed : undefined;
  } catch {
    return undefined; // Not JSON: the caller's mistake says what was expected.
  }
}
