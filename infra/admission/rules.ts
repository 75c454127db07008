// CEL variables and conditions that the policies for secrets and for service accounts share.
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
import { ownerKind, ownerNames, ownLabels } from "../../helper/shared/ownership.ts";
import type { NamespaceRules } from "../../helper/shared/namespace-rules.ts";
import type { SecretDefinition } from "../../helper/shared/secret-definition.ts";
import type { KeptNames } from "../secret-names.ts";
import { allOf, anyOf, literal } from "./cel.ts";

/** The objects that the helper keeps, from the configuration of its stack. */
export interface KeptObjects extends KeptNames {
  readonly namespaceRules: NamespaceRules;
  readonly furtherSecrets: readonly SecretDefinition[];
  /** Name of the first of the ClusterRoles that own everything that the helper creates. */
  readonly owner: string;
}

/** A variable of a policy: `variables.NAME` in its expressions. */
export interface Variable {
  readonly name: string;
  readonly expression: string;
}

/** A condition that a request must meet, and the message if it does not. */
export interface Validation {
  readonly expression: string;
  readonly message: string;
}

/** The variables and validations of one policy. */
export interface Rules {
  readonly variables: readonly Variable[];
  readonly validations: readonly Validation[];
}

/** Whether the request is a create. */
export const created = 'request.operation == "CREATE"';
/** Whether the request is an update. */
export const updated = 'request.operation == "UPDATE"';
/** Whether the request is a delete. */
export const deleted = 'request.operation == "DELETE"';

/**
 * Variables for a field in the new and in the old object, or `empty` if there is none: one expression then fits all
 * operations.
 */
export const beforeAndAfter = (name: string, field: string, empty: string): Variable[] => [
  { name, expression: `${deleted} ? ${empty} : object.${field}.orValue(${empty})` },
  { name: `${name}Before`, expression: `${created} ? ${empty} : oldObject.${field}.orValue(${empty})` },
];

/** Variables for the metadata that the rules check. */
export const metadata = [
  ...beforeAndAfter("labels", "metadata.?labels", "{}"),
  ...beforeAndAfter("annotations", "metadata.?annotations", "{}"),
  ...beforeAndAfter("owners", "metadata.?ownerReferences", "[]"),
  ...beforeAndAfter("finalizers", "metadata.?finalizers", "[]"),
];

/** Whether a variable with labels has the labels of the stack's objects. */
export const isOwn = (kept: KeptObjects, labels: string): string =>
  allOf(
    Object.entries(ownLabels(kept)).map(
      ([key, value]) => `variables.${labels}[?${literal(key)}].orValue("") == ${literal(value)}`,
    ),
  );

/**
 * Requires that others' entries of a map stay unchanged. `isMine` is a condition on a key `k` that the helper may
 * change.
 */
export const keepsOthers = (map: string, isMine: string): string =>
  `variables.${map}Before.all(k, ${isMine} || ` +
  `variables.${map}[?k].orValue("") == variables.${map}Before[k] && k in variables.${map})`;
/** Requires that no key is added to a map, other than those that `isMine` allows. */
export const addsNone = (map: string, isMine: string): string =>
  `variables.${map}.all(k, ${isMine} || k in variables.${map}Before)`;
/** Requires that the finalizers stay unchanged. */
export const keepsFinalizers = "variables.finalizers == variables.finalizersBefore";

/**
 * Whether an owner reference `r` is to one of the stack's owners. Its uid does not matter: with a wrong one Kubernetes
 * would only delete the object, which the helper may delete anyway.
 */
export const isOwner = (kept: KeptObjects): string =>
  allOf([
    `r.apiVersion == ${literal(ownerKind.apiVersion)}`,
    `r.kind == ${literal(ownerKind.kind)}`,
    `r.name in ${literal(ownerNames(kept))}`,
  ]);
/**
 * Whether the object has an owner of the stack, or there is none: each of them grants the right to watch them, so without
 * that right all are gone. The check costs a third of an expression's budget, so it comes last.
 */
export const isOwned = (kept: KeptObjects): string =>
  anyOf([
    `variables.owners.exists(r, ${isOwner(kept)})`,
    `!authorizer.group("rbac.authorization.k8s.io").resource("clusterroles").name(${literal(kept.owner)}).check("watch").allowed()`,
  ]);
/**
 * The fields by which Kubernetes' garbage collector finds an owner: with another kind it would consider the owner
 * deleted.
 */
const ownerKey = (reference: string): string =>
  ["apiVersion", "kind", "name", "uid"].map((field) => `${reference}.${field}`).join(' + " " + ');
/** Whether an owner reference `r` was in the old object. */
export const existed = `(${ownerKey("r")}) in variables.ownersBefore.map(o, ${ownerKey("o")})`;
/** Whether an owner reference `r` is in the new object. */
export const exists = `(${ownerKey("r")}) in variables.owners.map(o, ${ownerKey("o")})`;
