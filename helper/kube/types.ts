// The objects, requests and answers of the Kubernetes API, as far as the helper reads them.

/** An entry of metadata.managedFields. Clients can write them, too: none of it need be there, or be what it should. */
export interface ManagedFields {
  readonly manager?: unknown;
  readonly operation?: unknown;
  readonly time?: unknown;
  readonly fieldsV1?: unknown;
}

/** What every object of the API has, as far as it is read here. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

export interface KubeObject {
  readonly metadata: ObjectMeta;
}

/** An object of which nothing but the metadata came. */
export interface PartialObjectMetadata extends KubeObject {
  readonly metadata: ObjectMeta & {
    readonly deletionTimestamp?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
    readonly managedFields?: readonly ManagedFields[];
  };
}

export interface KubeRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  /** An object, or its JSON: encoded already, where it is sent many times. */
  readonly body?: object | string | Buffer | undefined;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** Whether all that matters is that the call succeeds: what is answered then is not read, and undefined is given. */
  readonly discardResponse?: boolean;
  /** A longer answer, in bytes, is not taken: the call rejects with AnswerTooLargeError. */
  readonly maxBytes?: number;
}

/** Resolves to the parsed answer (a log: its text), or rejects with KubeError or the network's error. */
export type Kube = <T>(call: KubeRequest) => Promise<T>;

/** The lines of an answer that goes on for as long as the API server, or the call's signal, lets it: a watch. */
export type KubeStream = (call: KubeRequest & { readonly signal: AbortSignal }) => AsyncGenerator<string, void>;
