// What the rules for secrets and for service accounts have in common: the variables and conditions of admission policies.
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
import { ownerReference, ownLabels } from "../../helper/shared/ownership.ts";
import type { NamespaceRules } from "../../helper/shared/namespace-rules.ts";
import { allOf, literal } from "./cel.ts";

/** What the stack's configuration says of the objects that its helper keeps. */
export interface KeptObjects {
  readonly targets: NamespaceRules;
  readonly basicAuthSecrets: readonly string[];
  readonly pullSecret: string;
  /** The object that owns what the helper makes. */
  readonly owner: { readonly name: string; readonly uid: string };
}

export interface Variable {
  readonly name: string;
  readonly expression: string;
}

export interface Validation {
  readonly expression: string;
  readonly message: string;
}

export interface Rules {
  readonly variables: readonly Variable[];
  readonly validations: readonly Validation[];
}

export const created = 'request.operation == "CREATE"';
export const updated = 'request.operation == "UPDATE"';
export const deleted = 'request.operation == "DELETE"';

/** A field of the object as it will be and as it is, empty where there is none: of these an expression can be of one form. */
export const beforeAndAfter = (name: string, field: string, empty: string): Variable[] => [
  { name, expression: `${deleted} ? ${empty} : object.${field}.orValue(${empty})` },
  { name: `${name}Before`, expression: `${created} ? ${empty} : oldObject.${field}.orValue(${empty})` },
];

export const metadata = [
  ...beforeAndAfter("labels", "metadata.?labels", "{}"),
  ...beforeAndAfter("annotations", "metadata.?annotations", "{}"),
  ...beforeAndAfter("owners", "metadata.?ownerReferences", "[]"),
  ...beforeAndAfter("finalizers", "metadata.?finalizers", "[]"),
];

export const isOwn = (kept: KeptObjects, labels: string): string =>
  allOf(
    Object.entries(ownLabels(kept)).map(
      ([key, value]) => `variables.${labels}[?${literal(key)}].orValue("") == ${literal(value)}`,
    ),
  );

/** That what others wrote in a map stays as it is. `isMine` says of a key `k` whether the helper may change it. */
export const keepsOthers = (map: string, isMine: string): string =>
  `variables.${map}Before.all(k, ${isMine} || ` +
  `variables.${map}[?k].orValue("") == variables.${map}Before[k] && k in variables.${map})`;
export const addsNone = (map: string, isMine: string): string =>
  `variables.${map}.all(k, ${isMine} || k in variables.${map}Before)`;
export const keepsFinalizers = "variables.finalizers == variables.finalizersBefore";

/** Whether a reference `r` is the stack's own. */
export const isOwner = (kept: KeptObjects): string =>
  allOf(Object.entries(ownerReference(kept)).map(([field, value]) => `r.${field} == ${literal(value)}`));
/** All of a reference that Kubernetes' garbage collector goes by: by another kind its owner would be gone to it. */
const ownerKey = (reference: string): string =>
  ["apiVersion", "kind", "name", "uid"].map((field) => `${reference}.${field}`).join(' + " " + ');
/** Whether it was there before, and whether it still is. */
export const existed = `(${ownerKey("r")}) in variables.ownersBefore.map(o, ${ownerKey("o")})`;
export const exists = `(${ownerKey("r")}) in variables.owners.map(o, ${ownerKey("o")})`;
