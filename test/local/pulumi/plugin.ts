// What a provider plugin is to its server: its configuration, its types and its functions.
import type { ResourceType } from "./resource-type.ts";
import type { CheckFailure } from "./schema.ts";
import type { Properties } from "./values.ts";

/** A function of a provider. Gives the result, or what is wrong with the arguments. */
export interface PluginFunction<Session> {
  (args: Properties, session: Session): Promise<Properties>;
}

/** Shows a message to whoever runs pulumi. */
export type Log = (severity: "debug" | "info" | "warning" | "error", message: string) => void;

/** A provider. `Session` is what its types and functions work with once it is configured. */
export interface Plugin<Session> {
  readonly name: string;
  /** That of the package whose programs it serves. */
  readonly version: string;
  /** What is wrong with the provider's configuration, whose values may be JSON texts. */
  checkConfig(config: Properties): Promise<CheckFailure[]>;
  /** Configuration keys that are secrets, whether they are marked or not: they are encrypted in the state. */
  readonly secretConfig: readonly string[];
  /** Rejects where the provider cannot work by this configuration. */
  configure(config: Properties, log: Log): Promise<Session>;
  readonly types: Readonly<Record<string, ResourceType<Session>>>;
  readonly functions: Readonly<Record<string, PluginFunction<Session>>>;
}

/** Arguments that a function refuses, as invalid inputs of a resource are. */
export class InvalidArgumentsError extends Error {
  readonly failures: readonly CheckFailure[];

  constructor(failures: readonly CheckFailure[]) {
    super(failures.map(({ property, reason }) => `${property}: ${reason}`).join("; "));
    this.failures = failures;
  }
}
