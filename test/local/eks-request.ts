// What the servers of the local EKS are asked, and answer.
import type { IncomingHttpHeaders } from "node:http";

/** A request to one of the servers; `address` is whose it is. */
export interface EksRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly address: string;
  readonly body: string;
}

/** Text, JSON, or a refusal. */
export type EksResponse = string | object | undefined;
