// What all of the stack's AWS resources share: the SDK's clients, and a handler for a type whose id is known before it is made.
import { ECRClient } from "@aws-sdk/client-ecr";
import { EKSClient } from "@aws-sdk/client-eks";
import { IAMClient } from "@aws-sdk/client-iam";
import { STSClient } from "@aws-sdk/client-sts";
import { cameOf, type Handler } from "./handler.ts";
import type { Properties } from "./state.ts";

const clients = (): { ecr: ECRClient; eks: EKSClient; iam: IAMClient; sts: STSClient } => ({
  ecr: new ECRClient(),
  eks: new EKSClient(),
  iam: new IAMClient(),
  sts: new STSClient(),
});
let made: ReturnType<typeof clients> | undefined;
/** The clients, made at their first use: the environment has the local cloud's addresses by then. */
export const client = (): ReturnType<typeof clients> => (made ??= clients());

export const text = (properties: Properties, key: string): string => String(properties[key]);

export interface Tag {
  Key: string;
  Value: string;
}

export const tagsOf = ({ tags }: Properties): Tag[] =>
  Object.entries((tags ?? {}) as Record<string, string>).map(([Key, Value]) => ({ Key, Value }));

/** The tags to set, and the keys of those to take away, where a resource's inputs have changed. */
export function retagging(old: Properties, inputs: Properties): { set: Tag[]; gone: string[] } {
  const wanted = tagsOf(inputs);
  return {
    set: wanted,
    gone: tagsOf(old)
      .map(({ Key }) => Key)
      .filter((key) => !wanted.some(({ Key }) => Key === key)),
  };
}

/** Gives undefined where AWS answers that there is no such thing. */
export const orGone = async <T>(answer: Promise<T>): Promise<T | undefined> =>
  answer.catch((error: unknown) => {
    if (error instanceof Error && /^(NoSuchEntity|.*NotFound)(Exception)?$/.test(error.name)) return undefined;
    throw error;
  });

/** What AWS says of a thing that is there. */
export interface Found {
  /** Undefined of what is a part of another thing, and goes with it: it is always the stack's own. */
  readonly created: Date | undefined;
}

type Made = { id: string; outputs: Properties };

interface Simple {
  identify: (inputs: Properties) => string;
  /** Inputs that are part of the identity, or cannot be changed. */
  fixed: readonly string[];
  create: (inputs: Properties) => Promise<Properties>;
  /** Rejects, or gives undefined, where it is not there. */
  read: (id: string, inputs: Properties) => Promise<Found | undefined>;
  /** `old` has the outputs, and the inputs that they came of. */
  change: (inputs: Properties, old: Properties) => Promise<Properties>;
  remove: (id: string, inputs: Properties, outputs: Properties) => Promise<unknown>;
}

/** A handler for a type whose id is known before it is made. */
export const handler = ({ identify, fixed, create, read, change, remove }: Simple): Handler => ({
  identify,
  create: async (inputs): Promise<Made> => ({
    id: identify(inputs),
    outputs: { ...inputs, ...(await create(inputs)) },
  }),
  exists: async ({ id, inputs }) => (await orGone(read(id, inputs))) !== undefined,
  update: async (live, inputs) =>
    fixed.some((key) => live.inputs[key] !== inputs[key])
      ? undefined
      : { outputs: { ...live.outputs, ...inputs, ...(await change(inputs, live.outputs)) } },
  remove: async ({ id, inputs, outputs }) => void (await orGone(remove(id, inputs, outputs))),
  undo: async ({ inputs, since }) => {
    const found = await orGone(read(identify(inputs), inputs));
    if (found === undefined || (found.created !== undefined && !cameOf({ since }, found.created))) return;
    await orInUse(orGone(remove(identify(inputs), { ...inputs, forceDelete: false }, {})));
  },
});

/** What was never written down was never used: what is in use is somebody else's, and its creation will say so. */
const orInUse = async (answer: Promise<unknown>): Promise<unknown> =>
  answer.catch((error: unknown) => {
    if (error instanceof Error && /^(DeleteConflict|RepositoryNotEmpty)/.test(error.name)) return;
    throw error;
  });
