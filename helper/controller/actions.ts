// What the plans of secrets and of service accounts share.
import { formatRef, type ObjectRef } from "../kube/object-ref.ts";
import type { Entries } from "../resources/service-account.ts";
import type { DesiredSecret } from "../resources/types.ts";
import type { Labels } from "../shared/label-selector.ts";

/** What every action has. */
export interface ActionBase {
  readonly object: ObjectRef;
  /**
   * What someone else did to the object; undefined when it only has to be created, refreshed or removed. Where a write then finds nothing to
   * do, the cache was behind, or somebody else has put it back.
   */
  readonly drift?: string | undefined;
  /** Whether it is a service account that the configuration does not name. A namespace may have many of these. */
  readonly isUnnamed?: boolean;
}

/** One write to one service account. */
export type AccountAction =
  | (ActionBase & { readonly kind: "applyAccount"; readonly entries: Entries })
  | (ActionBase & { readonly kind: "releaseAccount" });

/** The desired secrets by name. One that is missing here has no token, or no longer one, and is left as it is. */
export type Desired = ReadonlyMap<string, DesiredSecret>;

/** The desired secrets of each namespace: the same map for all that get the same. */
export type DesiredIn = (namespace: string) => Desired;

/** What somebody did who took away a reference to an owner that exists. */
export const lostOwner = "lost its owner";

/** What was up to date in a namespace after it was last reconciled. */
export interface LastConverged {
  /** Some of the objects that are kept there, as `formatRef` writes them: one that is missing now was deleted since. */
  readonly objects: ReadonlySet<string>;
  /** The desired state that they were compared with. */
  readonly desired: Desired;
}

/** Whether an object was up to date. */
export const hadConverged = (last: LastConverged | undefined, object: ObjectRef): boolean =>
  last?.objects.has(formatRef(object)) === true;

/** What a pass over a namespace has come to. */
export interface Attempts {
  /** The objects that are not as desired, as `formatRef` writes them. */
  readonly failed: ReadonlySet<string>;
  /** Whether the rest of them waits until others have had their turn. */
  readonly isTurnOver: boolean;
}

/** How a service account is released. */
export interface ReleaseOptions {
  /** Whether it stays, by its labels. */
  readonly isKept?: (labels?: Labels) => boolean;
  /** Whether the stack ends, so that Kubernetes collects what it owns. */
  readonly goesWithStack?: boolean;
}
