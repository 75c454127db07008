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

/** The desired content of a secret, the same in every namespace and encoded once for all of them. */
export interface DesiredSecret {
  readonly name: string;
  /** A hash of everything that the helper writes into it but its owners: these change without a new content. */
  readonly revision: string;
  /** The size of its decoded data, in bytes. */
  readonly size: number;
  /** The uids of its owners, as `ownerUids` writes them. */
  readonly owners: string;
  /** The JSON to apply, without a namespace. */
  readonly body: Buffer;
  /** The same with a uid, so that the API server refuses to apply it to any other object of that name. */
  readonly bodyFor: (uid: string) => string;
}
