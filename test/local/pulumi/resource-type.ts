// A resource type of a provider plugin: the operations that the engine calls, and the definition that differs between types.
import type { Naming } from "./autoname.ts";
import type { DiffRequest, DiffResult } from "./diff.ts";
import type { CheckFailure, Schema } from "./schema.ts";
import type { Properties } from "./values.ts";

/** Inputs as the program gives them. */
export interface CheckRequest {
  readonly inputs: Properties;
  /** Only for an existing resource: the result of the last check. */
  readonly oldInputs?: Properties | undefined;
  readonly naming: Naming;
}

/** Inputs with their defaults and generated names, and the failures in them. */
export interface CheckResult {
  readonly inputs: Properties;
  readonly failures: readonly CheckFailure[];
}

/** A resource as it is now: `inputs` are those that would create it like this. */
export interface LiveResource {
  readonly id: string;
  readonly inputs: Properties;
  readonly outputs: Properties;
}

/** A resource in the engine's state. A read without one is an import. */
export interface RememberedResource {
  readonly inputs: Properties;
  readonly outputs: Properties;
}

/** A resource type. In all properties secrets are marked, and unknown values are represented by `unknown`. */
export interface ResourceType<Session> {
  readonly schema: Schema;
  check(request: CheckRequest, session?: Session): Promise<CheckResult>;
  diff(request: DiffRequest, session?: Session): DiffResult;
  /** The outputs after a create or an update, with `unknown` for values that only AWS determines. */
  preview(inputs: Properties, session: Session, state?: Properties): Properties;
  /** Rejects with InitFailedError where the resource was created incompletely. */
  create(inputs: Properties, session: Session): Promise<LiveResource>;
  /** Undefined where the resource does not exist. */
  read(id: string, session: Session, known?: RememberedResource): Promise<LiveResource | undefined>;
  /** Rejects with InitFailedError, which has the current state of the resource. */
  update(id: string, state: Properties, inputs: Properties, session: Session): Promise<LiveResource>;
  /** Succeeds where the resource is already gone. */
  delete(id: string, state: Properties, session: Session): Promise<void>;
}

/** The resource exists, but not as requested: the engine keeps it in the state and repairs it in the next update. */
export class InitFailedError extends Error {
  readonly live: LiveResource;

  constructor(live: LiveResource, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.live = live;
  }
}

/** A resource as AWS returns it: its id, and the properties for the state. */
export interface Observed {
  readonly id: string;
  readonly properties: Properties;
}

/** What differs between types. The operations take and return properties without secret marks. */
export interface Definition<Session> {
  readonly schema: Schema;
  /** Outputs that only AWS determines. */
  readonly computed: readonly string[];
  readonly secretOutputs?: readonly string[];
  /** Outputs that AWS returns only at creation; afterwards they are kept in the state. */
  readonly onlyAtCreation?: readonly string[];
  readonly deleteBeforeReplace?: true;
  /** Outputs, and inputs where the program gives none, that follow from the other inputs and the configuration. */
  readonly plan?: (inputs: Properties, session: Session) => Properties;
  /** Returns the id and the `onlyAtCreation` outputs. Inputs are plain and have their defaults. */
  readonly create: (inputs: Properties, session: Session) => Promise<{ id: string; creationOutputs?: Properties }>;
  /** `state` is empty for an import. Undefined where the resource does not exist. */
  readonly read: (id: string, state: Properties, session: Session) => Promise<Observed | undefined>;
  /** Updates the resource from the state to the inputs. Returns the id where the update changes it. */
  readonly update?: (change: Change, session: Session) => Promise<string | undefined>;
  readonly remove: (id: string, state: Properties, session: Session) => Promise<void>;
}

/** An update in place, from the engine's `state` to the `inputs` with their defaults. */
export interface Change {
  readonly id: string;
  readonly state: Properties;
  readonly inputs: Properties;
  /** Whether an input differs from the state. */
  readonly changes: (key: string) => boolean;
}
