// How the in-process engine carries out one type of resource.
import { LocalCloudError } from "../process.ts";
import type { Properties } from "./state.ts";

export interface Live {
  readonly id: string;
  readonly inputs: Properties;
  readonly outputs: Properties;
  readonly provider: Properties;
}

export interface Handler {
  /** Adds to the inputs what they only point at, such as the content of files. */
  readonly complete?: (inputs: Properties) => Promise<Properties>;
  /** What of the inputs is compared between runs; all of them unless said otherwise. */
  readonly comparable?: (inputs: Properties) => Properties;
  /** The id a resource of these inputs would have; undefined where AWS chooses one. */
  identify(inputs: Properties): string | undefined;
  /** Makes it; rejects when somebody else's is in the way. */
  create(inputs: Properties, provider: Properties): Promise<{ id: string; outputs: Properties }>;
  /** Whether it is still there. `inputs` are this run's, for what ages in them (a login). */
  exists(live: Live, inputs: Properties): Promise<boolean>;
  /** Changes it in place. Undefined where a change of these inputs takes another resource. */
  update(live: Live, inputs: Properties): Promise<{ outputs: Properties } | undefined>;
  /** Deletes it; that it is gone already is no error. */
  remove(live: Live): Promise<void>;
  /** Takes back a creation that was interrupted: removes what these inputs made, and nothing that somebody else did. */
  undo(interrupted: Interrupted): Promise<void>;
}

/** A creation of which nobody wrote down how it ended. */
export interface Interrupted {
  readonly inputs: Properties;
  readonly provider: Properties;
  readonly since: Date;
}

/** How long after its beginning an interrupted creation may still have come about, in milliseconds. */
const inFlight = 60_000;

/** Whether a thing of this age came of an interrupted creation. Another one of its name is somebody else's. */
export function cameOf({ since }: Pick<Interrupted, "since">, created: Date | string | undefined): boolean {
  if (created === undefined) return false;
  // AWS and Kubernetes tell whole seconds.
  const age = new Date(created).getTime() - Math.floor(since.getTime() / 1000) * 1000;
  return age >= 0 && age <= inFlight;
}

/** What was to be created is there, but not as it should be: the next run starts by taking it back. */
export class UnfinishedError extends LocalCloudError {}
