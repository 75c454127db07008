// Performs a planned action.
import type { ControllerDependencies } from "./dependencies.ts";
import type { Action } from "./plan.ts";
import type { Outcome } from "./writer.ts";

/** Rejects as the writer does. */
export async function perform(
  writer: ControllerDependencies["writer"],
  namespace: string,
  action: Action,
  signal: AbortSignal,
): Promise<Outcome> {
  const { name } = action.object;
  switch (action.kind) {
    case "writeSecret":
      return writer.writeSecret(namespace, action.secret, action.seen, signal);
    case "removeSecret":
      return writer.removeSecret(namespace, name, action.seen, signal);
    case "applyAccount":
      return writer.applyAccount(namespace, name, action.entries, signal);
    case "releaseAccount":
      return writer.releaseAccount(namespace, name, signal);
  }
}
