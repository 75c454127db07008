// What the Kubernetes API refuses, and what that says about the request, the object or the API server.
import { asRecord, isString, asArray, parseRecord } from "../runtime/shape.ts";
import type { KubeRequest } from "./types.ts";

/** An answer that is longer than the call takes. Nothing of it is kept. */
export class AnswerTooLargeError extends Error {}

/** A call the API server refused. `reason` is Kubernetes' own word for it, such as NotFound or Conflict. */
export class KubeError extends Error {
  readonly status: number;
  readonly reason: string;
  /** How long the API server wants to be left alone, in milliseconds; 0 when it does not say. */
  readonly retryAfter: number;
  constructor(call: KubeRequest, status: number, body: string, retryAfter = 0) {
    const answer = parseStatus(body);
    // What was sent may stand in the message, and it holds secrets: then only the reason is shown, and who refused.
    const isQuoting = call.body !== undefined || status === 400 || status === 422;
    const said = isQuoting ? `${answer.reason}${describeRefuser(answer.message)}` : answer.message;
    const safe = answer.isStatus ? said : "with something that is not Kubernetes' status";
    super(`${call.method} ${call.path} was answered ${String(status)} ${safe}`);
    this.status = status;
    this.reason = answer.reason;
    this.retryAfter = retryAfter;
  }
}

/** Whether a failure says that the caller has no right to what it tried. */
export const isForbidden = (error: unknown): boolean => error instanceof KubeError && error.status === 403;

/** Whether a failure tells nothing about what was asked for, but that the API server, or the way to it, is unwell. */
export const isTransientError = (error: unknown): boolean =>
  !(error instanceof KubeError) || error.status >= 500 || error.status === 429 || error.status === 401;

/** Gives undefined where the call was answered NotFound. */
export const undefinedIfNotFound = async <T>(answer: Promise<T>): Promise<T | undefined> =>
  answer.catch((error: unknown) => {
    if (error instanceof KubeError && error.status === 404) return undefined;
    throw error;
  });

/** Whether a write came too late: somebody else wrote the object first. */
export const isConflict = (error: unknown): boolean => error instanceof KubeError && error.status === 409;

/** Whether a failure says that the namespace is not there, or is on its way out: nothing can be kept in it. */
export const isNamespaceGone = (error: unknown): boolean =>
  error instanceof KubeError && (error.status === 404 || error.reason === "NamespaceTerminating");

/** A name as Kubernetes has them: nothing that was sent passes for one. */
const name = "[\\w.:*/-]{1,253}";
const admission = new RegExp(`ValidatingAdmissionPolicy '${name}'|admission webhook "${name}"`);
const authorization = new RegExp(
  `User "${name}" cannot ${name} resource "${name}" in API group "(?:${name})?"(?: in the namespace "${name}")?`,
);

/** Who refused, by the parts of a message that quote nothing else. */
function describeRefuser(message: string): string {
  const begun = message.slice(0, maxMessage);
  const [refuser] = admission.exec(begun) ?? [];
  if (refuser !== undefined) return `, refused by ${refuser}`;
  const [lack] = authorization.exec(begun) ?? [];
  return lack === undefined ? "" : `, ${lack}`;
}

/** No more of a message is looked at, in characters. */
const maxMessage = 4_096;

function parseStatus(body: string): { isStatus: boolean; reason: string; message: string } {
  const { reason, message, details } = parseRecord(body);
  const isStatus = reason !== undefined || message !== undefined;
  const reasons = asArray(asRecord(details)["causes"]).map((cause) => asRecord(cause)["reason"]);
  const known = reasons.includes(terminating)
    ? terminating
    : isString(reason) && /^\w{1,64}$/.test(reason)
      ? reason
      : "";
  return { isStatus, reason: known, message: isString(message) ? message : known };
}

const terminating = "NamespaceTerminating";
