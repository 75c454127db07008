// Errors that a retry cannot fix. The object is left alone until it, or the desired state, changes.
import type { CachedSecret } from "../cache/cached-objects.ts";
import { maxSecretBytes } from "../resources/secrets.ts";
import type { DesiredSecret } from "../resources/types.ts";

/** An error that a retry cannot fix. */
export abstract class TerminalError extends Error {
  /** In one word: the reason of the Event and the value of the metric's label. */
  abstract readonly reason: string;
}

/** A secret of a managed name exists and was not created by this helper. It is left as it is. */
export class ForeignObjectError extends TerminalError {
  readonly reason = "ForeignObject";
}

/** The desired secret is larger than Kubernetes accepts. The existing one is left as it is. */
export class TooLargeError extends TerminalError {
  readonly reason = "TooLarge";
}

/**
 * Throws ForeignObjectError if the secret that was seen in its place was not created by this helper, and TooLargeError if Kubernetes
 * would not accept the new one.
 */
export function rejectUnwritable(
  namespace: string,
  { name, size }: DesiredSecret,
  seen: CachedSecret | undefined,
): void {
  if (seen?.isOwned === false) {
    throw new ForeignObjectError(
      `secret ${namespace}/${name} exists and was not made by this helper, so it is left as it is. ` +
        "Delete it, or let the helper use another name (ecr-helper:basicAuthSecret, ecr-helper:pullSecret, ecr-helper:secrets)",
    );
  }
  if (size > maxSecretBytes) {
    throw new TooLargeError(
      `secret ${namespace}/${name} would hold ${String(size)} bytes with the logins of all registries, and ` +
        `Kubernetes takes ${String(maxSecretBytes)}, so it is left as it is. Let this stack keep fewer (ecr-helper:registries), ` +
        "and another stack the rest, in secrets of other names",
    );
  }
}
