// How the in-process engine tells of what a provider refused.
import { LocalCloudError } from "../process.ts";

/** What to do about what AWS refuses, by the error's name. */
const remedies: readonly (readonly [names: RegExp, remedy: string])[] = [
  [/AlreadyExists/, "delete it, or choose another name in the configuration (-c KEY=VALUE)"],
  [
    /^AccessDenied/,
    "allow it to who runs this; infra/deployer-policy.json has all that is needed. It goes on from here",
  ],
  [/^RepositoryNotEmpty/, "run up with -c forceDelete=true, which lets the images go with it, then down"],
  [/^DeleteConflict/, "take away from it what somebody else gave it, then run the command again"],
];

/** An error as the user is told of it: at what it happened, what it is, what to do. */
export const described = (what: string, error: unknown): Error => {
  const message = error instanceof Error ? error.message : String(error);
  const [, remedy] = remedies.find(([names]) => error instanceof Error && names.test(error.name)) ?? [];
  const told = remedy === undefined ? message : `${message.replace(/\.$/, "")}. Remedy: ${remedy}.`;
  return new LocalCloudError(`${what}: ${told}`, { cause: error });
};
