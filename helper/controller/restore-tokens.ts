// The tokens that one helper leaves to the next: in the secrets of its own namespace, with their times beside them.
import type { Clock } from "../runtime/clock.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import { decodeTokens } from "../resources/token-annotation.ts";
import type { Secret } from "../resources/types.ts";
import type { AuthorizationToken, Tokens } from "../ecr/token.ts";
import { undefinedIfNotFound } from "../kube/errors.ts";
import type { Kube, PartialObjectMetadata } from "../kube/types.ts";
import type { Log } from "../runtime/logger.ts";
import { formatSeconds, errorMessage } from "../shared/messages.ts";
import { shouldLog, retryDelay, serverRetryLimit } from "../runtime/backoff.ts";

interface RestoreDependencies {
  /** Whether a secret is as the helper wrote it: else it may hold anybody's tokens. */
  readonly isIntact: (name: string, secret: PartialObjectMetadata) => boolean;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: () => number;
}

/**
 * The tokens that an earlier helper left in its own namespace. Asks until there is an answer: while the API server gives
 * none nothing could be written either, and without them a registry that is refused now would lose a login that works.
 */
export async function restoreTokens(
  config: HelperConfig,
  kube: Kube,
  effects: RestoreDependencies,
  signal: AbortSignal,
): Promise<Tokens> {
  const left = new Map<string, AuthorizationToken>();
  for (const name of config.ownSecretNames) {
    for (const [token, value] of await readFrom(name, config, kube, effects, signal)) left.set(token, value);
  }
  return left;
}

async function readFrom(
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
      log("warn", `secret ${config.namespace}/${name} was changed by somebody: its tokens are not used`);
      return new Map();
    } catch (error) {
      if (isOver()) break;
      const wait = retryDelay(failures, random(), serverRetryLimit(1));
      const level = shouldLog(failures) ? "error" : "debug";
      log(
        level,
        `cannot look for the last helper's tokens: ${errorMessage(error)}; trying again in ${formatSeconds(wait)}`,
      );
      await clock.sleep(wait, signal);
    }
  }
  return new Map();
}
