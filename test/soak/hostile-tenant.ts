// A hostile tenant of a build namespace. It has only the rights of the ClusterRole `admin` there, and attacks the helper's objects
// in every way that these allow.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { createKubeClient } from "../../helper/kube/client.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import type { KubeRequest, Kube } from "../../helper/kube/types.ts";
import { accountPath, secretPath } from "../support/kept-objects.ts";
import type { Parts } from "../support/stack-parts.ts";
import { recordSecrets } from "../local/audit-log.ts";
import { pick } from "../support/seeded.ts";
import { secretNames } from "./credential-check.ts";

/** How a tenant is created and attacks. */
export interface TenantOptions {
  readonly parts: Parts;
  /** A namespace to create for the tenant. */
  readonly namespace: string;
  readonly random: () => number;
  /** Whether it sends requests as fast as they are answered, instead of at client-go's default rate. */
  readonly isFast: boolean;
}

/** The roles that make up `admin`: the controller that aggregates them does not run here. */
const adminRoles = ["view", "edit", "admin"].map((part) => `system:aggregate-to-${part}`);

/** client-go's default limits: requests per second, and the burst after a pause. */
const [perSecond, burst] = [5, 10];

/** Kubernetes' limit for the size of an object's annotations, minus some room for those of other clients. */
const maxAnnotationBytes = 240 * 1024;

/** Malformed values for the annotation in which the helper records its entries. */
const malformedEntries = ["null", "[]", "7", "{", '{"secrets":null}', '{"secrets":{"length":1e9}}', "[".repeat(1_000)];

/** Percent-encoded names of field managers: Kubernetes accepts the first and refuses the second, for its control characters. */
const oddManagers = ["%22%7D%3Ch1%3E%20x", "%1B%5B31m%0A"];

/** A tenant with its own service account, which attacks the helper's objects in its namespace. */
export class HostileTenant {
  readonly namespace: string;
  /** The number of requests that the API server accepted, by kind of attack. */
  readonly done = new Map<string, number>();
  readonly #options: TenantOptions;
  readonly #kube: Kube;
  #allowance = burst;
  #countedAt = performance.now();

  private constructor(options: TenantOptions, kube: Kube) {
    [this.#options, this.#kube, this.namespace] = [options, kube, options.namespace];
  }

  /** Creates the namespace and the tenant's service account in it. */
  static async create(options: TenantOptions): Promise<HostileTenant> {
    const { parts, namespace } = options;
    await parts.namespace(namespace);
    const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
    await parts.admin({ method: "POST", path: accounts, body: { metadata: { name: "tenant" } } });
    for (const name of adminRoles) {
      const body = {
        metadata: { name },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
        subjects: [{ kind: "ServiceAccount", name: "tenant", namespace }],
      };
      const path = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`;
      await parts.admin({ method: "POST", path, body });
    }
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
    const path = `${accounts}/tenant/token`;
    const { token } = (await parts.admin<{ status: { token: string } }>({ method: "POST", path, body })).status;
    recordSecrets([token]);
    const { server, ca } = parts.options;
    return new HostileTenant(options, createKubeClient({ server, ca, token: () => token }));
  }

  /** Attacks until the signal aborts. Rejects with errors that are not KubeErrors. */
  async attack(signal: AbortSignal): Promise<void> {
    const { random, parts, isFast } = this.#options;
    const isQuick = ([what]: Attack): boolean => what !== "large annotations";
    while (!signal.aborted) {
      // A fast tenant makes small attacks only: large ones would fill etcd and end the cluster instead of testing the helper.
      const all = attacksIn(this.namespace, parts.owner, random);
      const [what, calls] = pick(isFast ? all.filter(isQuick) : all, random);
      for (const call of calls) {
        if (!isFast) await this.#waitForRateLimit(signal);
        if (await this.#isAccepted(call)) this.done.set(what, (this.done.get(what) ?? 0) + 1);
      }
    }
  }

  async #isAccepted(call: KubeRequest): Promise<boolean> {
    return this.#kube(call).then(
      () => true,
      (error: unknown) => {
        if (error instanceof KubeError) return false;
        throw error;
      },
    );
  }

  /** Resolves when the rate limit allows another request. */
  async #waitForRateLimit(signal: AbortSignal): Promise<void> {
    const now = performance.now();
    this.#allowance = Math.min(burst, this.#allowance + ((now - this.#countedAt) / 1_000) * perSecond) - 1;
    this.#countedAt = now;
    if (this.#allowance < 0) {
      await sleep((-this.#allowance / perSecond) * 1_000, undefined, { signal }).catch(() => undefined);
    }
  }
}

type Attack = [what: string, calls: KubeRequest[]];

const merge = (path: string, body: object): KubeRequest => ({
  method: "PATCH",
  path: `${path}?fieldManager=tenant`,
  contentType: "application/merge-patch+json",
  body,
});

/** The attacks to choose from, each of a few requests. */
function attacksIn(namespace: string, owner: string, random: () => number): Attack[] {
  const name = pick(secretNames, random);
  const [secret, account] = [secretPath(namespace, name), accountPath(namespace)];
  const large = (key: string): object => ({
    metadata: { annotations: { [key]: randomBytes(maxAnnotationBytes / 2).toString("hex") } },
  });
  const [managedBy, instance] = ["app.kubernetes.io/managed-by", "app.kubernetes.io/instance"];
  const ownLabels = { [managedBy]: "ecr-helper", [instance]: owner };
  const labelled = (labels: object): KubeRequest => merge(pick([secret, account], random), { metadata: { labels } });
  const forged = { apiVersion: "v1", kind: "ConfigMap", name: "forged", uid: "00000000-0000-0000-0000-000000000000" };
  const wrong = [
    { type: "Opaque" },
    { type: "Opaque", metadata: { name, labels: ownLabels } },
    secretOfAnotherType(name),
  ];
  const body = { metadata: { name }, stringData: { password: "wrong" }, ...pick(wrong, random) };
  const remove: KubeRequest = { method: "DELETE", path: secret };
  const create: KubeRequest = { method: "POST", path: `/api/v1/namespaces/${namespace}/secrets`, body };
  const applied = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "builder-sa", labels: { odd: "x" } } };
  const apply: KubeRequest = {
    method: "PATCH",
    path: `${account}?force=true&fieldManager=${pick(oddManagers, random)}`,
    contentType: "application/apply-patch+yaml",
    body: applied,
  };
  return [
    [
      "poisoned annotations",
      [merge(account, { metadata: { annotations: { [`ecr-helper/${owner}`]: pick(malformedEntries, random) } } })],
    ],
    ["large annotations", [merge(secret, large(pick(["large", "ecr-helper/revision"], random)))]],
    ["large annotations", [merge(account, large(`ecr-helper/${owner}`))]],
    ["wrong secrets in the place of ours", [remove, create]],
    ["wrong content", [merge(secret, { data: { password: "d3Jvbmc=" } })]],
    ["labels stripped", [labelled({ [managedBy]: null, [instance]: null })]],
    ["labels forged", [labelled({ [instance]: "ecr-helper-other" })]],
    ["labels changed", [labelled({ [managedBy]: "somebody" })]],
    ["owners stripped or forged", [merge(secret, { metadata: { ownerReferences: pick([[], [forged]], random) } })]],
    ["lists replaced", [merge(account, { secrets: [], imagePullSecrets: [{ name: "theirs" }] })]],
    ["applied by an odd manager", [apply]],
    ["made and deleted in a loop", Array.from({ length: 5 }, () => [create, remove]).flat()],
    ["service accounts deleted", [{ method: "DELETE", path: account }]],
  ];
}

const secretOfAnotherType = (name: string): object =>
  name === "ecr-creds"
    ? { type: "kubernetes.io/dockerconfigjson", stringData: { ".dockerconfigjson": "{}" } }
    : { type: "kubernetes.io/basic-auth", stringData: { password: "wrong" } };
