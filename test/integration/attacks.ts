// Requests that a process with the helper's token could send: the helper's rights may allow them, but it never sends them.
import type { HelperConfig } from "../../helper/config/helper-config.ts";
import { exampleSecrets } from "../../helper/resources/secrets.ts";
import type { Secret } from "../../helper/resources/types.ts";
import type { KubeRequest } from "../../helper/kube/types.ts";
import { annotations, entriesAnnotation, ownLabels } from "../../helper/shared/ownership.ts";
import { ownerReference } from "../../helper/resources/owners.ts";
import { newServiceAccount } from "../../helper/resources/service-account.ts";
import { exampleOwners } from "../support/owners.ts";
import { accountPath, secretPath } from "../support/kept-objects.ts";

/** The namespaces of a test, by their contents. */
export interface Places {
  /** A build namespace with all of the helper's objects. */
  readonly kept: string;
  /** A build namespace with a foreign service account that the helper extended, and which lists `theirs` first. */
  readonly shared: string;
  /** A build namespace with a secret `ecr-creds` that the helper did not create. */
  readonly foreign: string;
  /** An empty build namespace. */
  readonly empty: string;
  /** A namespace that is not a build namespace. */
  readonly outside: string;
}

/** A request that the policies must deny. */
export interface Attack {
  /** A description that is unique, and the first words of a test's title. */
  readonly what: string;
  readonly call: KubeRequest;
  /** The policy's message. */
  readonly refusal: RegExp;
  /** Whether a Role with the objects' names does not allow it either. */
  readonly isOutside?: boolean;
}

const call = (method: KubeRequest["method"], path: string, contentType: string, body: object): KubeRequest => ({
  method,
  path: `${path}?fieldManager=ecr-helper&dryRun=All${method === "PATCH" && contentType.includes("apply") ? "&force=true" : ""}`,
  contentType,
  body,
});
/** A server-side apply by the helper, as a dry run. */
export const apply = (path: string, body: object): KubeRequest =>
  call("PATCH", path, "application/apply-patch+yaml", body);
/** A merge patch by the helper, as a dry run. */
export const merge = (path: string, body: object): KubeRequest =>
  call("PATCH", path, "application/merge-patch+json", body);
const remove = (path: string): KubeRequest =>
  call("DELETE", path, "application/json", { apiVersion: "v1", kind: "DeleteOptions" });

/** A secret as the helper applies it. Throws if the helper keeps no secret of that name. */
export function secretNamed(config: HelperConfig, name: string): Secret {
  const found = exampleSecrets(config).find(({ metadata }) => metadata.name === name);
  if (found === undefined) throw new Error(`the helper keeps no secret ${name}`);
  return { ...found, metadata: { ...found.metadata, ownerReferences: exampleOwners(config) } };
}

/** An owner that is not the helper's stack, for foreign objects. */
export const stranger = { apiVersion: "v1", kind: "ConfigMap", name: "x", uid: "11111111-1111-1111-1111-111111111111" };
const tokenType = {
  type: "kubernetes.io/service-account-token",
  data: {},
};

const types = /as their names say/;
const ownership = /has the labels of its stack, and is owned by it/;
const onlyOwnAnnotations = /only write its own annotations/;
const namespaces = /in build namespaces of its stack/;
const notMade = /only change and delete secrets that it made/;

function secretAttacks(config: HelperConfig, { kept, foreign, empty, outside }: Places): Attack[] {
  const good = secretNamed(config, "ecr-creds");
  const { metadata } = good;
  const over = (more: object): object => ({ ...good, metadata: { ...metadata, ...more } });
  const asToken = { "kubernetes.io/service-account.name": "default" };
  const created: [string, object, RegExp][] = [
    ["a token of a service account", { ...good, ...tokenType, metadata: { ...metadata, annotations: asToken } }, types],
    ["an opaque secret", { ...good, type: "Opaque" }, types],
    ["a pull secret by the login's name", { ...secretNamed(config, "ecr-creds-pull"), metadata }, types],
    ["a further key", { ...good, data: { ...good.data, more: "" } }, types],
    ["no labels", over({ labels: {} }), ownership],
    ["another stack's labels", over({ labels: { ...metadata.labels, "app.kubernetes.io/instance": "x" } }), ownership],
    ["no owner", over({ ownerReferences: [] }), ownership],
    ["another owner", over({ ownerReferences: [stranger] }), ownership],
    ["another stack's owner", over({ ownerReferences: [ownerReference("ecr-helper-x", stranger.uid)] }), ownership],
    ["a second owner", over({ ownerReferences: [...(metadata.ownerReferences ?? []), stranger] }), ownership],
    ["an annotation for others", over({ annotations: { "replicator/from": "x" } }), onlyOwnAnnotations],
    ["a finalizer", over({ finalizers: ["example.com/x"] }), onlyOwnAnnotations],
    ["an immutable secret", { ...good, immutable: true }, onlyOwnAnnotations],
  ];
  const at = (namespace: string): string => secretPath(namespace, "ecr-creds");
  return [
    ...created.map(([what, body, refusal]) => ({ what: `makes ${what}`, call: apply(at(empty), body), refusal })),
    {
      what: "makes a secret in no build namespace",
      call: apply(at(outside), good),
      refusal: namespaces,
      isOutside: true,
    },
    {
      what: "makes a secret in kube-system",
      call: apply(at("kube-system"), good),
      refusal: namespaces,
      isOutside: true,
    },
    { what: "takes the labels away", call: merge(at(kept), { metadata: { labels: null } }), refusal: ownership },
    {
      what: "takes the owner away",
      call: merge(at(kept), { metadata: { ownerReferences: null } }),
      refusal: ownership,
    },
    { what: "overwrites another's secret", call: merge(at(foreign), { data: { x: "" } }), refusal: notMade },
    {
      what: "claims another's secret",
      call: merge(at(foreign), { metadata: { labels: metadata.labels } }),
      refusal: notMade,
    },
    { what: "deletes another's secret", call: remove(at(foreign)), refusal: notMade },
  ];
}

const entries = /only add and remove its own secrets/;
const theRest = /change nothing in a service account but its own/;
const taken = /not take one of others/;
const made = /only make service accounts in build namespaces/;

function accountAttacks(config: HelperConfig, { kept, shared, empty, outside }: Places): Attack[] {
  const note = entriesAnnotation(config);
  const own = { secrets: ["ecr-creds"], imagePullSecrets: ["ecr-creds-pull"] };
  const good = newServiceAccount(config, "builder-sa", own, exampleOwners(config));
  const named = (...names: string[]): object[] => names.map((name) => ({ name }));
  const ownedBy = (...ownerReferences: object[]): object => ({ metadata: { ownerReferences } });
  const patched: [string, string, object, RegExp][] = [
    ["adds another secret", shared, { secrets: named("theirs", "ecr-creds", "more") }, entries],
    ["adds another secret for pulls", kept, { imagePullSecrets: named("ecr-creds-pull", "more") }, entries],
    ["removes others' entries", shared, { secrets: named("ecr-creds") }, entries],
    [
      "notes others' entries",
      shared,
      { metadata: { annotations: { [note]: JSON.stringify({ ...own, secrets: ["theirs"] }) } } },
      /only note entries of its own/,
    ],
    ["gives it another role", kept, { metadata: { annotations: { "eks.amazonaws.com/role-arn": "x" } } }, theRest],
    ["takes others' annotation away", shared, { metadata: { annotations: { theirs: null } } }, theRest],
    ["changes others' label", shared, { metadata: { labels: { theirs: "no" } } }, theRest],
    ["adds a finalizer", kept, { metadata: { finalizers: ["example.com/x"] } }, theRest],
    ["mounts its token", shared, { automountServiceAccountToken: true }, theRest],
    ["gives its owner another kind", shared, ownedBy({ ...stranger, kind: "Secret" }), taken],
    ["claims it", shared, { metadata: { labels: ownLabels(config) } }, taken],
    ["gives it another owner", kept, ownedBy(...exampleOwners(config), stranger), taken],
    ["owns it", shared, ownedBy(stranger, ...exampleOwners(config)), taken],
  ];
  const created: [string, string, object, RegExp][] = [
    ["in another namespace", outside, good, made],
    ["in kube-system", "kube-system", good, made],
    ["with no owner", empty, { ...good, metadata: { ...good.metadata, ownerReferences: [] } }, made],
    ["with another secret", empty, { ...good, secrets: named("more") }, entries],
    [
      "with another annotation",
      empty,
      { ...good, metadata: { ...good.metadata, annotations: { [annotations.tokens]: "" } } },
      theRest,
    ],
  ];
  return [
    ...patched.map(([what, namespace, body, refusal]) => ({
      what: `${what} (service account)`,
      call: merge(accountPath(namespace), body),
      refusal,
    })),
    ...created.map(([what, namespace, body, refusal]) => ({
      what: `makes a service account ${what}`,
      call: apply(accountPath(namespace), body),
      refusal,
      isOutside: refusal === made && namespace !== empty,
    })),
    {
      what: "deletes another's service account",
      call: remove(accountPath(shared)),
      refusal: /only delete a service account that it made/,
    },
  ];
}

/** All attacks. They are dry runs: the API server only tells whether it would allow them. */
export const attacksBy = (config: HelperConfig, places: Places): Attack[] => [
  ...secretAttacks(config, places),
  ...accountAttacks(config, places),
];
