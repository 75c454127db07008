// The secrets that the helper writes.
import type { Metadata } from "../shared/ownership.ts";

export interface Secret {
  metadata: Metadata;
  apiVersion: "v1";
  kind: "Secret";
  type: string;
  /** Values in base64. */
  data: Record<string, string>;
}

/** A secret as it should be in every build namespace, encoded once for all of them. */
export interface DesiredSecret {
  readonly name: string;
  readonly revision: string;
  /** Of its data, in bytes. */
  readonly size: number;
  /** As its annotation says. */
  readonly refreshedAt: string;
  /** The JSON to apply. */
  readonly body: Buffer;
  /** The same for the very object with this uid, and for none that took its place since. */
  readonly bodyFor: (uid: string) => string;
}
