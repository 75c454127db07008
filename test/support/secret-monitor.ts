// Sees every version of every secret that a helper keeps: none may be torn, refused by the registry, or worse than the one
// before it.
import { createKubeStream, type KubeOptions } from "../../helper/kube/client.ts";
import { decode, pullPasswords, type Secret } from "./kept-objects.ts";
import type { Parts } from "./stack-parts.ts";
import type { Endpoint } from "../local/settings.ts";
import { isLoginAccepted } from "./registry-login.ts";

/** A version of a secret. */
export interface SecretVersion {
  readonly namespace: string;
  readonly name: string;
  /** Of every registry in it. */
  readonly passwords: readonly string[];
  /** When the first of them ends, in milliseconds since 1970. */
  readonly expiresAt: number;
}

type Named = Secret & { metadata: { name: string } };

/** So much may lie between the registry's answer and the look at the clock; nor is it asked the same twice in that time. */
const clockMargin = 500;

export class SecretMonitor {
  /** What should not have been, in words. */
  readonly violations: string[] = [];
  /** Secrets that got an older token than they had: one that is good too, where two helpers write. */
  readonly downgrades: string[] = [];
  /** The versions that came after the start. */
  readonly versions: SecretVersion[] = [];
  readonly #latest = new Map<string, SecretVersion>();
  readonly #registry: Endpoint;
  readonly #over = new AbortController();
  readonly #checks: Promise<void>[] = [];
  /** When the registry was asked about a password last. */
  readonly #asked = new Map<string, number>();
  readonly #waiting = new Set<() => void>();
  #watching: Promise<void> = Promise.resolve();

  private constructor(registry: Endpoint) {
    this.#registry = registry;
  }

  /** Resolves when it sees all that is there. The registry is that of the front which gave the tokens. */
  static async start({ admin, options, owner }: Parts, registry: Endpoint): Promise<SecretMonitor> {
    const witness = new SecretMonitor(registry);
    const path = `/api/v1/secrets?labelSelector=${encodeURIComponent(`app.kubernetes.io/instance=${owner}`)}`;
    const list = await admin<{ items: Named[] } & Named>({ method: "GET", path });
    for (const secret of list.items) witness.#came(secret);
    witness.#watching = witness.#follow(options, path, list.metadata.resourceVersion);
    return witness;
  }

  async #follow(options: KubeOptions, path: string, since: string): Promise<void> {
    const { signal } = this.#over;
    const isOver = (): boolean => signal.aborted;
    let version = since;
    // The API server ends the watch of whoever is too slow for it now and then. From where it was nothing is missed.
    try {
      while (!isOver()) {
        const call = { method: "GET", path: `${path}&watch=1&resourceVersion=${version}`, signal } as const;
        for await (const line of createKubeStream(options)(call)) version = this.#changed(line);
      }
    } catch (error) {
      if (!isOver()) this.violations.push(`the witness saw no more: ${String(error)}`);
    }
  }

  /** Takes a change, and gives its resourceVersion. */
  #changed(line: string): string {
    const { type, object } = JSON.parse(line) as { type: string; object: Named };
    const { namespace, name, resourceVersion } = object.metadata;
    if (type === "ERROR") throw new Error(line);
    if (type === "DELETED") this.violations.push(`${namespace}/${name} was deleted`);
    else this.#came(object);
    return resourceVersion;
  }

  /** Each secret as it is, by NAMESPACE/NAME. */
  get latest(): ReadonlyMap<string, SecretVersion> {
    return this.#latest;
  }

  /** The distinct passwords in all of them. */
  get passwords(): Set<string> {
    return new Set([...this.#latest.values()].flatMap(({ passwords }) => passwords));
  }

  /** Resolves when so many more versions as `wanted` have come. */
  async waitForVersions(count: number, wanted: (version: SecretVersion) => boolean = () => true): Promise<void> {
    const from = this.versions.length;
    await this.waitUntil(() => this.versions.slice(from).filter(wanted).length >= count);
  }

  /** Resolves when something holds of what was seen. */
  async waitUntil(holds: () => boolean, timeout = 60_000): Promise<void> {
    const deadline = AbortSignal.timeout(timeout);
    while (!holds()) {
      if (deadline.aborted) throw new Error(`that does not hold after ${String(timeout / 1000)} s: ${String(holds)}`);
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
        deadline.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  /** Ends, and gives all that was wrong: also of the credentials that are there now. */
  async stop(): Promise<string[]> {
    if (this.#over.signal.aborted) return this.violations;
    for (const { namespace, name, expiresAt } of this.#latest.values())
      if (expiresAt < Date.now())
        this.violations.push(`${namespace}/${name} has ended ${String(Date.now() - expiresAt)} ms ago`);
    this.#over.abort();
    await this.#watching;
    await Promise.all(this.#checks);
    return this.violations;
  }

  #came(secret: Named): void {
    const { namespace, name, annotations } = secret.metadata;
    const key = `${namespace}/${name}`;
    const passwords = passwordsOf(secret);
    const version = { namespace, name, passwords, expiresAt: Date.parse(annotations["ecr-helper/expires-at"] ?? "") };
    if (passwords.length === 0) this.violations.push(`${key} is torn`);
    this.#compare(key, version, this.#latest.get(key));
    this.#latest.set(key, version);
    this.versions.push(version);
    for (const password of passwords) {
      if (Date.now() - (this.#asked.get(password) ?? 0) < clockMargin) continue;
      this.#asked.set(password, Date.now());
      this.#checks.push(this.#check(key, password, version.expiresAt));
    }
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #compare(key: string, version: SecretVersion, before: SecretVersion | undefined): void {
    if (before === undefined) return;
    if (!(version.expiresAt >= before.expiresAt)) this.downgrades.push(`${key} got an older token`);
    if (before.expiresAt < Date.now()) this.violations.push(`${key} had ended before it was refreshed`);
  }

  async #check(key: string, password: string, end: number): Promise<void> {
    const isTaken = await isLoginAccepted(this.#registry, password);
    if (!isTaken && Date.now() + clockMargin < end) this.violations.push(`${key} is refused by the registry`);
  }
}

/** The distinct passwords of a secret; none where anything is missing or does not fit. */
export function passwordsOf({ type, data }: Secret): string[] {
  if (type === "kubernetes.io/basic-auth") {
    return decode(data["username"]) === "AWS" ? [decode(data["password"])].filter((one) => one !== "") : [];
  }
  const all = Object.values(pullPasswords({ data }));
  return all.every((password) => password !== "") ? [...new Set(all)] : [];
}

/** A secret with a token that lives longer than any there is now. */
export const hasNewerToken = ({ latest }: SecretMonitor): ((version: SecretVersion) => boolean) => {
  const newest = Math.max(0, ...[...latest.values()].map(({ expiresAt }) => expiresAt));
  return ({ expiresAt }) => expiresAt > newest;
};
