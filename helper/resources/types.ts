// The secrets that the helper writes, as objects of the API and as the controller handles them.
import type { Metadata } from "../shared/ownership.ts";

/** A Secret of the Kubernetes API, with the fields that the helper applies. */
export interface Secret {
  metadata: Metadata;
  apiVersion: "v1";
  kind: "Secret";
  type: string;
  /** Values in base64. */
  data: Record<string, string>;
}

/** The desired content of a secret, the same in every namespace. What is sent most is encoded once for all of them. */
export interface DesiredSecret {
  readonly name: string;
  /** A hash of everything that the helper writes into it but its owners: these change without a new content. */
  readonly revision: string;
  /** The size of its decoded data, in bytes. */
  readonly size: number;
  /** The uids of its owners, as `ownerUids` writes them. */
  readonly owners: string;
  /** The body of an apply, as JSON: to any object, or only to this one as it was seen. */
  readonly toApply: (seen?: Pick<Patched, "uid" | "version">) => string;
  /**
   * The body of a PUT, as protobuf, for an object of this version that nobody but the helper has written. It says that all fields are the
   * helper's, as otherwise those that a PUT leaves the same stay part of an earlier apply.
   */
  readonly toReplace: (version: number) => Buffer;
  /** The strategic merge patch, as JSON, for an object that others have written, too: it makes nothing of theirs different. */
  readonly toPatch: (seen: Patched) => string;
}

/** An object that is patched: its uid, its version, the uids of its owners, and the patch that removes what is not wanted any more. */
export interface Patched {
  readonly uid: string;
  readonly version: number;
  readonly owners: string;
  readonly removal: string;
}
