// Creates and deletes build namespaces continually, and deletes and changes the helper's objects in them.
import { setTimeout as sleep } from "node:timers/promises";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import type { KubeRequest, Kube } from "../../helper/kube/types.ts";
import { accountPath, secretPath } from "../support/kept-objects.ts";
import { pick } from "../support/seeded.ts";
import { secretNames } from "./credential-check.ts";

/** How namespaces are created. */
export interface ChurnOptions {
  readonly admin: Kube;
  /** The prefix of the namespaces' names. */
  readonly prefix: string;
  readonly random: () => number;
}

/** The fewest and the most namespaces at a time, and how many names there are, which are reused. */
const [fewest, most, names] = [20, 60, 80];
/** The pause between two steps, in milliseconds. */
const interval = 500;
/** The helper reverts repeated edits of an object with backoff, which the soak's rules do not allow for. */
const disturbancesPerNamespace = 2;

const encoded = (text: string): string => Buffer.from(text).toString("base64");

/** Creates, deletes and disturbs build namespaces. */
export class NamespaceChurn {
  /** The namespaces, each with the time of its creation or last disturbance, in milliseconds since 1970. */
  readonly since = new Map<string, number>();
  /** How often each step was done. */
  readonly done = new Map<string, number>();
  readonly #options: ChurnOptions;
  /** The number of disturbances of each namespace. */
  readonly #disturbed = new Map<string, number>();

  constructor(options: ChurnOptions) {
    this.#options = options;
  }

  /** Creates the first namespaces. */
  async createInitial(count = fewest): Promise<void> {
    while (this.since.size < count) await this.#create();
  }

  /** Creates, deletes and disturbs namespaces until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#step(this.#options.random());
      await sleep(interval, undefined, { signal }).catch(() => undefined);
    }
  }

  async #step(chance: number): Promise<void> {
    if (chance < 0.35 && this.since.size < most) return this.#create();
    if (chance < 0.6 && this.since.size > fewest) return this.#remove();
    return this.#disturb();
  }

  #count(what: string): void {
    this.done.set(what, (this.done.get(what) ?? 0) + 1);
  }

  async #create(): Promise<void> {
    const { admin, prefix, random } = this.#options;
    const free = Array.from({ length: names }, (_, index) => `${prefix}-${String(index)}`).filter(
      (one) => !this.since.has(one),
    );
    const name = pick(free, random);
    await admin({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name } } });
    this.since.set(name, Date.now());
    this.#count("namespaces created");
  }

  async #remove(): Promise<void> {
    const { admin, random } = this.#options;
    const name = pick([...this.since.keys()], random);
    this.since.delete(name);
    this.#disturbed.delete(name);
    await removeNamespace(admin, name);
    this.#count("namespaces deleted");
  }

  async #disturb(): Promise<void> {
    const { admin, random } = this.#options;
    const calm = [...this.since.keys()].filter((name) => (this.#disturbed.get(name) ?? 0) < disturbancesPerNamespace);
    if (calm.length === 0) return;
    const name = pick(calm, random);
    const [what, call] = pick(disturbances(name), random);
    this.#disturbed.set(name, (this.#disturbed.get(name) ?? 0) + 1);
    if (call.path.includes("/secrets/")) this.since.set(name, Date.now());
    if ((await undefinedIfNotFound(admin(call))) !== undefined) this.#count(what);
  }
}

/** Deletes a namespace and its content, in place of the namespace controller, which does not run here. */
export async function removeNamespace(admin: Kube, name: string): Promise<void> {
  const path = `/api/v1/namespaces/${name}`;
  await admin({ method: "DELETE", path });
  for (const kind of ["secrets", "serviceaccounts", "events"])
    await admin({ method: "DELETE", path: `${path}/${kind}` });
  const body = { apiVersion: "v1", kind: "Namespace", metadata: { name }, spec: { finalizers: [] } };
  await admin({ method: "PUT", path: `${path}/finalize`, body });
}

/** The disturbances to choose from. */
function disturbances(namespace: string): [what: string, call: KubeRequest][] {
  const [basic, pull] = secretNames.map((name) => secretPath(namespace, name));
  const account = accountPath(namespace);
  const remove = (path = ""): KubeRequest => ({ method: "DELETE", path });
  const change = (path = "", body: object): KubeRequest => {
    return {
      method: "PATCH",
      path: `${path}?fieldManager=somebody`,
      contentType: "application/merge-patch+json",
      body,
    };
  };
  return [
    ["secrets deleted", remove(basic)],
    ["secrets deleted", remove(pull)],
    ["secrets changed", change(basic, { data: { password: encoded("stale") } })],
    ["secrets changed", change(pull, { data: { ".dockerconfigjson": encoded('{"auths":{}}') } })],
    ["service accounts deleted", remove(account)],
    ["service accounts changed", change(account, { secrets: [], imagePullSecrets: [] })],
  ];
}
