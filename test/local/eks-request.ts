// Requests to the servers of the local EKS, and their responses.
import type { IncomingHttpHeaders } from "node:http";

/** A request to one of the servers; `address` is the client's IP address. */
export interface EksRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly address: string;
  readonly body: string;
}

/** Text, an object that is sent as JSON, or undefined for a refusal. */
export type EksResponse = string | object | undefined;
