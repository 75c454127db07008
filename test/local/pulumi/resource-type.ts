// One resource type of a provider plugin: what the engine may ask of it, and what is particular to it.
import type { Naming } from "./autoname.ts";
import type { DiffRequest, DiffResult } from "./diff.ts";
import type { CheckFailure, Schema } from "./schema.ts";
import type { Properties } from "./values.ts";

/** Inputs as the program gives them. */
export interface CheckRequest {
  readonly inputs: Properties;
  /** What check gave the last time, of a resource that exists. */
  readonly oldInputs?: Properties | undefined;
  readonly naming: Naming;
}

/** Inputs with their defaults and names, and what is wrong with them. */
export interface CheckResult {
  readonly inputs: Properties;
  readonly failures: readonly CheckFailure[];
}

/** A resource as it is: `inputs` are those that would make it so. */
export interface LiveResource {
  readonly id: string;
  readonly inputs: Properties;
  readonly outputs: Properties;
}

/** What the engine remembers of a resource; without it, a read is an import. */
export interface RememberedResource {
  readonly inputs: Properties;
  readonly outputs: Properties;
}

/** A resource type. Properties come and go with their marks: secrets are marked, unknown values stand for themselves. */
export interface ResourceType<Session> {
  readonly schema: Schema;
  check(request: CheckRequest, session?: Session): Promise<CheckResult>;
  diff(request: DiffRequest, session?: Session): DiffResult;
  /** The outputs that an update would lead to, with `unknown` for what only AWS says. */
  preview(inputs: Properties, session: Session, state?: Properties): Properties;
  /** Rejects with InitFailedError when the resource was made, but not as it should be. */
  create(inputs: Properties, session: Session): Promise<LiveResource>;
  /** Undefined where it is not there. */
  read(id: string, session: Session, known?: RememberedResource): Promise<LiveResource | undefined>;
  /** Rejects with InitFailedError, which has the state that the resource was left in. */
  update(id: string, state: Properties, inputs: Properties, session: Session): Promise<LiveResource>;
  /** That it is gone already is no error. */
  delete(id: string, state: Properties, session: Session): Promise<void>;
}

/** A resource is there, but not as it should be: the engine keeps it in the state, and mends it the next time. */
export class InitFailedError extends Error {
  readonly live: LiveResource;

  constructor(live: LiveResource, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.live = live;
  }
}

/** What AWS says of a resource: its id, and the properties that are to be in the state. */
export interface Observed {
  readonly id: string;
  readonly properties: Properties;
}

/** What is particular to a type. Its operations get and give properties without marks. */
export interface Definition<Session> {
  readonly schema: Schema;
  /** Outputs that only AWS says. */
  readonly computed: readonly string[];
  readonly secretOutputs?: readonly string[];
  /** Outputs that are told once, when the resource is made, and kept from then on. */
  readonly onlyAtCreation?: readonly string[];
  readonly deleteBeforeReplace?: true;
  /** Outputs, and inputs where the program gives none, that follow from the other inputs and the configuration. */
  readonly plan?: (inputs: Properties, session: Session) => Properties;
  /** Gives the id, and the outputs that are told once. Inputs are plain and have their defaults. */
  readonly create: (inputs: Properties, session: Session) => Promise<{ id: string; creationOutputs?: Properties }>;
  /** `state` is empty for an import. Undefined where it is not there. */
  readonly read: (id: string, state: Properties, session: Session) => Promise<Observed | undefined>;
  /** Changes it from what the state says to what the inputs say. Gives the id where that changes with it. */
  readonly update?: (change: Change, session: Session) => Promise<string | undefined>;
  readonly remove: (id: string, state: Properties, session: Session) => Promise<void>;
}

/** A change in place: `state` is what the engine remembers, `inputs` what is wanted, with its defaults. */
export interface Change {
  readonly id: string;
  readonly state: Properties;
  readonly inputs: Properties;
  /** Whether an input means something else than the state. */
  readonly changes: (key: string) => boolean;
}
