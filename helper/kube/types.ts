// The objects, requests and responses of the Kubernetes API, as far as the helper uses them.

/** An entry of metadata.managedFields. Clients can write these, so any field may be missing or have another type. */
export interface ManagedFields {
  readonly manager?: unknown;
  readonly operation?: unknown;
  readonly time?: unknown;
  readonly fieldsV1?: unknown;
}

/** The metadata that every object of the API has. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

/** Any object of the API. */
export interface KubeObject {
  readonly metadata: ObjectMeta;
}

/** An object whose metadata only was requested. */
export interface PartialObjectMetadata extends KubeObject {
  readonly metadata: ObjectMeta & {
    readonly deletionTimestamp?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
    readonly finalizers?: readonly string[];
    readonly managedFields?: readonly ManagedFields[];
    readonly ownerReferences?: readonly object[];
  };
}

/** A request to the API server. */
export interface KubeRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  /** An object, or its JSON where it is encoded once and sent many times. */
  readonly body?: object | string | Buffer | undefined;
  /** Of the body; `application/json` by default. */
  readonly contentType?: string;
  /** `application/json` by default. */
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** Whether to resolve to undefined, without reading the body of a success. */
  readonly discardResponse?: boolean;
  /** The request rejects with ResponseTooLargeError when the body of its response is larger than this, in bytes. */
  readonly maxBytes?: number;
}

/** Resolves to the parsed response (text for a log), or rejects with KubeError or the network's error. */
export type Kube = <T>(request: KubeRequest) => Promise<T>;

/** A client of one API server, and how to cut its connections: all of its requests fail then. */
export type KubeClient = Kube & { readonly reset: () => void };

/** The lines of a watch, until the API server ends it or the signal aborts. Rejects as Kube. */
export type KubeStream = (request: KubeRequest & { readonly signal: AbortSignal }) => AsyncGenerator<string, void>;
