// Somebody hostile who owns a build namespace. He has the rights of the ClusterRole `admin` there and nothing else, and does
// to what the helper keeps whatever these let him do.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { createKubeClient } from "../../helper/kube/client.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import type { KubeRequest, Kube } from "../../helper/kube/types.ts";
import { accountPath, secretPath } from "../support/kept-objects.ts";
import type { Parts } from "../support/stack-parts.ts";
import { rememberSecrets } from "../local/audit-log.ts";
import { pick } from "../support/seeded.ts";
import { secretNames } from "./credential-check.ts";

export interface AttackerOptions {
  readonly parts: Parts;
  /** Made by him. */
  readonly namespace: string;
  readonly random: () => number;
  /** Whether he asks as fast as he is answered; else as client-go lets a program by default. */
  readonly isFast: boolean;
}

/** What the controller of aggregated roles, which is not here, would put together as `admin`. */
const adminRoles = ["view", "edit", "admin"].map((part) => `system:aggregate-to-${part}`);

/** Of client-go: so many requests in a second, and so many at once after a pause. */
const [perSecond, burst] = [5, 10];

/** What Kubernetes takes in all annotations of an object together, less what others need there. */
const largest = 240 * 1024;

/** What stands nearly where the helper's own note stands. */
const poison = ["null", "[]", "7", "{", '{"secrets":null}', '{"secrets":{"length":1e9}}', "[".repeat(1_000)];

/** As one manager of fields, percent-encoded, may be named and another may not: the second has control characters. */
const managers = ["%22%7D%3Ch1%3E%20x", "%1B%5B31m%0A"];

export class Attacker {
  readonly namespace: string;
  /** How often the API server took what he did. */
  readonly done = new Map<string, number>();
  readonly #options: AttackerOptions;
  readonly #kube: Kube;
  #allowance = burst;
  #countedAt = performance.now();

  private constructor(options: AttackerOptions, kube: Kube) {
    [this.#options, this.#kube, this.namespace] = [options, kube, options.namespace];
  }

  /** Makes his namespace, and him in it. */
  static async create(options: AttackerOptions): Promise<Attacker> {
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
    rememberSecrets([token]);
    const { server, ca } = parts.options;
    return new Attacker(options, createKubeClient({ server, ca, token: () => token }));
  }

  /** Goes on until the signal aborts. */
  async attack(signal: AbortSignal): Promise<void> {
    const { random, parts, isFast } = this.#options;
    const isQuick = ([what]: Deed): boolean => what !== "large annotations";
    while (!signal.aborted) {
      // The fastest ones are small: what fills etcd ends the cluster, and not the helper alone.
      const all = deeds(this.namespace, parts.owner, random);
      const [what, calls] = pick(isFast ? all.filter(isQuick) : all, random);
      for (const call of calls) {
        if (!isFast) await this.#turn(signal);
        if (await this.#isTaken(call)) this.done.set(what, (this.done.get(what) ?? 0) + 1);
      }
    }
  }

  async #isTaken(call: KubeRequest): Promise<boolean> {
    return this.#kube(call).then(
      () => true,
      (error: unknown) => {
        if (error instanceof KubeError) return false;
        throw error;
      },
    );
  }

  /** Resolves when he may ask again. */
  async #turn(signal: AbortSignal): Promise<void> {
    const now = performance.now();
    this.#allowance = Math.min(burst, this.#allowance + ((now - this.#countedAt) / 1_000) * perSecond) - 1;
    this.#countedAt = now;
    if (this.#allowance < 0) {
      await sleep((-this.#allowance / perSecond) * 1_000, undefined, { signal }).catch(() => undefined);
    }
  }
}

type Deed = [what: string, calls: KubeRequest[]];

const merge = (path: string, body: object): KubeRequest => ({
  method: "PATCH",
  path: `${path}?fieldManager=tenant`,
  contentType: "application/merge-patch+json",
  body,
});

/** What he may do next, each a few requests. */
function deeds(namespace: string, owner: string, random: () => number): Deed[] {
  const name = pick(secretNames, random);
  const [secret, account] = [secretPath(namespace, name), accountPath(namespace)];
  const large = (key: string): object => ({
    metadata: { annotations: { [key]: randomBytes(largest / 2).toString("hex") } },
  });
  const [managedBy, instance] = ["app.kubernetes.io/managed-by", "app.kubernetes.io/instance"];
  const own = { [managedBy]: "ecr-helper", [instance]: owner };
  const labelled = (labels: object): KubeRequest => merge(pick([secret, account], random), { metadata: { labels } });
  const forged = { apiVersion: "v1", kind: "ConfigMap", name: "forged", uid: "00000000-0000-0000-0000-000000000000" };
  const wrong = [{ type: "Opaque" }, { type: "Opaque", metadata: { name, labels: own } }, secretOfAnotherType(name)];
  const made = { metadata: { name }, stringData: { password: "wrong" }, ...pick(wrong, random) };
  const remove: KubeRequest = { method: "DELETE", path: secret };
  const create: KubeRequest = { method: "POST", path: `/api/v1/namespaces/${namespace}/secrets`, body: made };
  const applied = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "builder-sa", labels: { odd: "x" } } };
  const apply: KubeRequest = {
    method: "PATCH",
    path: `${account}?force=true&fieldManager=${pick(managers, random)}`,
    contentType: "application/apply-patch+yaml",
    body: applied,
  };
  return [
    [
      "poisoned annotations",
      [merge(account, { metadata: { annotations: { [`ecr-helper/${owner}`]: pick(poison, random) } } })],
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
