// The interface between a provider and its plugin server: configuration, types and functions.
import type { ResourceType } from "./resource-type.ts";
import type { CheckFailure } from "./schema.ts";
import type { Properties } from "./values.ts";

/** A function of a provider. Rejects with InvalidArgumentsError where arguments are invalid. */
export interface PluginFunction<Session> {
  (args: Properties, session: Session): Promise<Properties>;
}

/** Shows a message to the user of pulumi. */
export type Log = (severity: "debug" | "info" | "warning" | "error", message: string) => void;

/** A provider. `Session` is what its types and functions use after it is configured. */
export interface Plugin<Session> {
  readonly name: string;
  /** The version of its npm package. */
  readonly version: string;
  /** The failures in the provider's configuration, whose values may be JSON. */
  checkConfig(config: Properties): Promise<CheckFailure[]>;
  /** Configuration keys that are always secret, and therefore encrypted in the state. */
  readonly secretConfig: readonly string[];
  /** Opens a session. Rejects where the provider cannot work with this configuration. */
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
