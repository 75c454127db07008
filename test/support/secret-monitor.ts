// Watches every version of every secret of a helper. No version may be incomplete or refused by the registry, and none may have
// an older token than the previous version.
import { createKubeStream, type KubeOptions } from "../../helper/kube/client.ts";
import { decode, pullPasswords, type Secret } from "./kept-objects.ts";
import type { Parts } from "./stack-parts.ts";
import type { Endpoint } from "../local/settings.ts";
import { isLoginAccepted } from "./registry-login.ts";

/** A version of a secret. */
export interface SecretVersion {
  readonly namespace: string;
  readonly name: string;
  /** The passwords of all registries in it. */
  readonly passwords: readonly string[];
  /** The expiry of the token that expires first, in milliseconds since 1970. */
  readonly expiresAt: number;
}

type Named = Secret & { metadata: { name: string } };

/** The largest difference to the registry's clock, and the pause before a password is checked again, in milliseconds. */
const clockMargin = 500;

/** Records all versions of a helper's secrets, and what is wrong with them. */
export class SecretMonitor {
  /** Descriptions of everything that should not have happened. */
  readonly violations: string[] = [];
  /** All versions so far, in the order of arrival. */
  readonly versions: SecretVersion[] = [];
  readonly #latest = new Map<string, SecretVersion>();
  readonly #registry: Endpoint;
  readonly #over = new AbortController();
  readonly #checks: Promise<void>[] = [];
  /** When each password was last checked at the registry, in milliseconds since 1970. */
  readonly #checkedAt = new Map<string, number>();
  readonly #waiting = new Set<() => void>();
  #watching: Promise<void> = Promise.resolve();

  private constructor(registry: Endpoint) {
    this.#registry = registry;
  }

  /** Resolves when it watches all existing secrets. `registry` belongs to the gateway that issues the tokens. */
  static async start(
    { admin, options, owner }: Pick<Parts, "admin" | "options" | "owner">,
    registry: Endpoint,
  ): Promise<SecretMonitor> {
    const monitor = new SecretMonitor(registry);
    const path = `/api/v1/secrets?labelSelector=${encodeURIComponent(`app.kubernetes.io/instance=${owner}`)}`;
    const list = await admin<{ items: Named[] } & Named>({ method: "GET", path });
    for (const secret of list.items) monitor.#record(secret);
    monitor.#watching = monitor.#follow(options, path, list.metadata.resourceVersion);
    return monitor;
  }

  async #follow(options: KubeOptions, path: string, since: string): Promise<void> {
    const { signal } = this.#over;
    const isOver = (): boolean => signal.aborted;
    let version = since;
    // The API server may end the watch of a slow client; the next watch continues at the same version.
    try {
      while (!isOver()) {
        const call = { method: "GET", path: `${path}&watch=1&resourceVersion=${version}`, signal } as const;
        for await (const line of createKubeStream(options)(call)) version = this.#applyChange(line);
      }
    } catch (error) {
      if (!isOver()) this.violations.push(`the monitor lost its watch: ${String(error)}`);
    }
  }

  /** Records a change and returns its resourceVersion. */
  #applyChange(line: string): string {
    const { type, object } = JSON.parse(line) as { type: string; object: Named };
    const { namespace, name, resourceVersion } = object.metadata;
    if (type === "ERROR") throw new Error(line);
    if (type === "DELETED") this.violations.push(`${namespace}/${name} was deleted`);
    else this.#record(object);
    return resourceVersion;
  }

  /** The latest version of each secret, by NAMESPACE/NAME. */
  get latest(): ReadonlyMap<string, SecretVersion> {
    return this.#latest;
  }

  /** The distinct passwords in all secrets. */
  get passwords(): Set<string> {
    return new Set([...this.#latest.values()].flatMap(({ passwords }) => passwords));
  }

  /** Resolves after `count` more versions that match `wanted`. */
  async waitForVersions(count: number, wanted: (version: SecretVersion) => boolean = () => true): Promise<void> {
    const from = this.versions.length;
    await this.waitUntil(() => this.versions.slice(from).filter(wanted).length >= count);
  }

  /** Resolves when a condition holds, which is checked at every version. Rejects after `timeout` milliseconds. */
  async waitUntil(holds: () => boolean, timeout = 60_000): Promise<void> {
    const deadline = AbortSignal.timeout(timeout);
    while (!holds()) {
      if (deadline.aborted)
        throw new Error(`the condition does not hold after ${String(timeout / 1000)} s: ${String(holds)}`);
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
        deadline.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  /** Ends the watch and resolves with all violations, including secrets whose token has expired. */
  async stop(): Promise<string[]> {
    if (this.#over.signal.aborted) return this.violations;
    for (const { namespace, name, expiresAt } of this.#latest.values())
      if (expiresAt < Date.now())
        this.violations.push(`${namespace}/${name} expired ${String(Date.now() - expiresAt)} ms ago`);
    this.#over.abort();
    await this.#watching;
    await Promise.all(this.#checks);
    return this.violations;
  }

  #record(secret: Named): void {
    const { namespace, name, annotations } = secret.metadata;
    const key = `${namespace}/${name}`;
    const passwords = passwordsOf(secret);
    const version = { namespace, name, passwords, expiresAt: Date.parse(annotations["ecr-helper/expires-at"] ?? "") };
    if (passwords.length === 0) this.violations.push(`${key} is incomplete`);
    this.#compare(key, version, this.#latest.get(key));
    this.#latest.set(key, version);
    this.versions.push(version);
    for (const password of passwords) {
      if (Date.now() - (this.#checkedAt.get(password) ?? 0) < clockMargin) continue;
      this.#checkedAt.set(password, Date.now());
      this.#checks.push(this.#check(key, password, version.expiresAt));
    }
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #compare(key: string, version: SecretVersion, previous: SecretVersion | undefined): void {
    if (previous === undefined) return;
    if (!(version.expiresAt >= previous.expiresAt)) this.violations.push(`${key} got an older token than before`);
    if (previous.expiresAt < Date.now()) this.violations.push(`${key} had expired before it was refreshed`);
  }

  async #check(key: string, password: string, expiresAt: number): Promise<void> {
    const isAccepted = await isLoginAccepted(this.#registry, password);
    if (!isAccepted && Date.now() + clockMargin < expiresAt) this.violations.push(`${key} is refused by the registry`);
  }
}

/** The distinct passwords of a secret; none if a part of it is missing or malformed. */
export function passwordsOf({ type, data }: Secret): string[] {
  if (type === "kubernetes.io/basic-auth") {
    return decode(data["username"]) === "AWS" ? [decode(data["password"])].filter((one) => one !== "") : [];
  }
  const all = Object.values(pullPasswords({ data }));
  return all.every((password) => password !== "") ? [...new Set(all)] : [];
}

/** Whether a version has a token that expires later than all current ones. */
export const hasNewerToken = ({ latest }: SecretMonitor): ((version: SecretVersion) => boolean) => {
  const newest = Math.max(0, ...[...latest.values()].map(({ expiresAt }) => expiresAt));
  return ({ expiresAt }) => expiresAt > newest;
};
