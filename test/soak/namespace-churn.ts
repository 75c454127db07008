// Build namespaces that come and go, and others who delete and change what the helper keeps in them.
import { setTimeout as sleep } from "node:timers/promises";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import type { KubeRequest, Kube } from "../../helper/kube/types.ts";
import { accountPath, secretPath } from "../support/kept-objects.ts";
import { pick } from "../support/seeded.ts";
import { secretNames } from "./credential-check.ts";

export interface CrowdOptions {
  readonly admin: Kube;
  /** What their names begin with. */
  readonly prefix: string;
  readonly random: () => number;
}

/** So many are there at least and at most, and names that were used are used again. */
const [fewest, most, names] = [20, 60, 80];
/** Between one thing and the next, in milliseconds. */
const interval = 500;
/** Whoever disturbs the same thing again and again is met with backoff, which is another rule than the soak's. */
const deedsPerNamespace = 2;

const encoded = (text: string): string => Buffer.from(text).toString("base64");

export class Crowd {
  /** The namespaces, each with its creation or what was done to it last, in milliseconds since 1970. */
  readonly since = new Map<string, number>();
  /** How often what was done. */
  readonly done = new Map<string, number>();
  readonly #options: CrowdOptions;
  /** How often each was disturbed. */
  readonly #disturbed = new Map<string, number>();

  constructor(options: CrowdOptions) {
    this.#options = options;
  }

  /** Makes the first of them. */
  async gather(count = fewest): Promise<void> {
    while (this.since.size < count) await this.#create();
  }

  /** Lets them come and go until the signal aborts. */
  async live(signal: AbortSignal): Promise<void> {
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
    const calm = [...this.since.keys()].filter((name) => (this.#disturbed.get(name) ?? 0) < deedsPerNamespace);
    if (calm.length === 0) return;
    const name = pick(calm, random);
    const [what, call] = pick(deeds(name), random);
    this.#disturbed.set(name, (this.#disturbed.get(name) ?? 0) + 1);
    if (call.path.includes("/secrets/")) this.since.set(name, Date.now());
    if ((await undefinedIfNotFound(admin(call))) !== undefined) this.#count(what);
  }
}

/** There is no namespace controller here: what it does is done in its place. */
export async function removeNamespace(admin: Kube, name: string): Promise<void> {
  const path = `/api/v1/namespaces/${name}`;
  await admin({ method: "DELETE", path });
  for (const kind of ["secrets", "serviceaccounts", "events"])
    await admin({ method: "DELETE", path: `${path}/${kind}` });
  const body = { apiVersion: "v1", kind: "Namespace", metadata: { name }, spec: { finalizers: [] } };
  await admin({ method: "PUT", path: `${path}/finalize`, body });
}

/** What somebody may do in a namespace. */
function deeds(namespace: string): [what: string, call: KubeRequest][] {
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
