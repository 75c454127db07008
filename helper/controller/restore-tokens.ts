// Restores the tokens that the last helper wrote into the secrets of its own namespace, with their times in annotations.
import type { Clock } from "../runtime/clock.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import { decodeTokens } from "../resources/token-annotation.ts";
import type { Secret } from "../resources/types.ts";
import { newerTokens, type Tokens } from "../ecr/token.ts";
import { undefinedIfNotFound } from "../kube/errors.ts";
import type { Kube, PartialObjectMetadata } from "../kube/types.ts";
import type { Log } from "../runtime/logger.ts";
import { formatSeconds, errorMessage } from "../shared/messages.ts";
import { shouldLog, retryDelay, serverRetryLimit } from "../runtime/backoff.ts";

interface RestoreDependencies {
  /** Whether a secret is as the helper wrote it. If not, its tokens may be anyone's. */
  readonly isIntact: (name: string, secret: PartialObjectMetadata) => boolean;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: () => number;
}

/**
 * The tokens of the last helper, by name; those of secrets that are missing or were changed are left out. Retries until the API
 * server answers or the signal aborts, and never rejects. Nothing could be written meanwhile anyway, and without these tokens a
 * registry that ECR refuses now would lose a login that still works.
 */
export async function restoreTokens(
  config: HelperConfig,
  kube: Kube,
  dependencies: RestoreDependencies,
  signal: AbortSignal,
): Promise<Tokens> {
  let restored: Tokens = new Map();
  // Groups that share a role have the same token, and a secret of a group may be an old one that nobody has removed.
  for (const name of config.ownSecretNames)
    restored = newerTokens(restored, await readTokens(name, config, kube, dependencies, signal));
  return restored;
}

async function readTokens(
  name: string,
  config: HelperConfig,
  kube: Kube,
  { isIntact, log, clock, random }: RestoreDependencies,
  signal: AbortSignal,
): Promise<Tokens> {
  const path = `/api/v1/namespaces/${config.namespace}/secrets/${name}`;
  const isOver = (): boolean => signal.aborted;
  for (let failures = 1; !isOver(); failures++) {
    try {
      const found = await undefinedIfNotFound(kube<Secret & PartialObjectMetadata>({ method: "GET", path, signal }));
      if (found === undefined) return new Map();
      if (isIntact(name, found)) return decodeTokens(config, found);
      log("warn", `secret ${config.namespace}/${name} was changed by someone else: its tokens are not used`);
      return new Map();
    } catch (error) {
      if (isOver()) break;
      const wait = retryDelay(failures, random(), serverRetryLimit(1));
      const message = `cannot look for the last helper's tokens: ${errorMessage(error)}`;
      log(shouldLog(failures) ? "error" : "debug", `${message}; trying again in ${formatSeconds(wait)}`);
      await clock.sleep(wait, signal);
    }
  }
  return new Map();
}
