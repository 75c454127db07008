// The errors of the Kubernetes API, and how to tell them apart.
import { asRecord, isString, asArray, parseRecord } from "../runtime/shape.ts";
import type { KubeRequest } from "./types.ts";

/** A response that is larger than the `maxBytes` of its request. */
export class ResponseTooLargeError extends Error {}

/** A request that the API server refused. Its message never quotes what was sent, as that may hold secrets. */
export class KubeError extends Error {
  readonly status: number;
  /** The reason of Kubernetes' Status, such as NotFound or Conflict; empty where it has none. */
  readonly reason: string;
  /** When to retry at the earliest, in milliseconds from now; 0 when the API server does not say. */
  readonly retryAfter: number;
  /** Whether the type of the object that was sent is refused: it can not be another one than that of the object that exists. */
  readonly isTypeInvalid: boolean;

  /** `body` is the response's. */
  constructor(request: KubeRequest, status: number, body: string, retryAfter = 0) {
    const parsed = parseStatus(body);
    // The message of the Status may quote what was sent: then only its reason is shown, and who refused.
    const isQuoting = request.body !== undefined || status === 400 || status === 422;
    const shown = isQuoting ? `${parsed.reason}${describeRefuser(parsed.message)}` : parsed.message;
    const safe = parsed.isStatus ? shown : "with something that is not Kubernetes' status";
    super(`${request.method} ${request.path} was answered ${String(status)} ${safe}`);
    this.status = status;
    this.reason = parsed.reason;
    this.retryAfter = retryAfter;
    this.isTypeInvalid = status === 422 && parsed.invalidFields.includes("type");
  }
}

/** The error of a request whose connection ended too early. */
export const interrupted = (): Error => new Error("the API server's connection ended before its answer did");

/** A request that waits for its connection fails as cancelled: the error of the connection is its cause. */
export const rootCause = (error: Error): Error => (error.cause instanceof Error ? error.cause : error);

/** Whether the helper lacks the permission: 403. */
export const isForbidden = (error: unknown): boolean => error instanceof KubeError && error.status === 403;

/** Whether the failure is transient: a network error, 401, 429 or 5xx. */
export const isTransientError = (error: unknown): boolean =>
  !(error instanceof KubeError) || error.status >= 500 || error.status === 429 || error.status === 401;

/** Whether there is no such object: 404. */
export const isNotFound = (error: unknown): boolean => error instanceof KubeError && error.status === 404;

/** Resolves to undefined where the request was answered with 404. */
export const undefinedIfNotFound = async <T>(response: Promise<T>): Promise<T | undefined> =>
  response.catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });

/** Whether another client wrote the object first, or has the field: 409. */
export const isConflict = (error: unknown): boolean => error instanceof KubeError && error.status === 409;

/** Whether a write failed because a secret exists with another type, which Kubernetes never changes. */
export const isOfAnotherType = (error: unknown): boolean => error instanceof KubeError && error.isTypeInvalid;

/** Whether a write failed because the namespace does not exist or is terminating. */
export const isNamespaceGone = (error: unknown): boolean =>
  isNotFound(error) || (error instanceof KubeError && error.reason === "NamespaceTerminating");

/** A name in Kubernetes, of a user, policy, verb or resource: nothing that was sent matches it. */
const name = "[\\w.:*/-]{1,253}";
const admission = new RegExp(`ValidatingAdmissionPolicy '${name}'|admission webhook "${name}"`);
const authorization = new RegExp(
  `User "${name}" cannot ${name} resource "${name}" in API group "(?:${name})?"(?: in the namespace "${name}")?`,
);

/** Who refused the request, by the parts of a message that do not quote it. */
function describeRefuser(message: string): string {
  const start = message.slice(0, maxInspected);
  const [refuser] = admission.exec(start) ?? [];
  if (refuser !== undefined) return `, refused by ${refuser}`;
  const [missing] = authorization.exec(start) ?? [];
  return missing === undefined ? "" : `, ${missing}`;
}

/** How much of a message is searched, in characters. */
const maxInspected = 4_096;

interface Status {
  readonly isStatus: boolean;
  readonly reason: string;
  readonly message: string;
  readonly invalidFields: readonly unknown[];
}

function parseStatus(body: string): Status {
  const { reason, message, details } = parseRecord(body);
  const isStatus = reason !== undefined || message !== undefined;
  const causes = asArray(asRecord(details)["causes"]).map(asRecord);
  const reasons = causes.map((cause) => cause["reason"]);
  const known = reasons.includes(terminating)
    ? terminating
    : isString(reason) && /^\w{1,64}$/.test(reason)
      ? reason
      : "";
  return {
    isStatus,
    reason: known,
    message: isString(message) ? message : known,
    invalidFields: causes.map(({ field }) => field),
  };
}

const terminating = "NamespaceTerminating";
