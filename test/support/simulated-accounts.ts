// The service accounts of one namespace at an API server, and the helpers of one stack that keep their entries there.
import assert from "node:assert/strict";
import { ClusterCache } from "../../helper/cache/cluster-cache.ts";
import { readConfig, type HelperConfig } from "../../helper/config/helper-config.ts";
import { planCleanups } from "../../helper/controller/cleanup-plan.ts";
import { perform } from "../../helper/controller/perform.ts";
import { Planner } from "../../helper/controller/plan.ts";
import { Writer } from "../../helper/controller/writer.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import type { KubeClient, KubeObject, KubeRequest } from "../../helper/kube/types.ts";
import type { ServiceAccount } from "../../helper/resources/service-account.ts";
import { helperEnvironment } from "./helper-environment.ts";

/** As the API server keeps it. */
export type StoredAccount = ServiceAccount & KubeObject;

/** The only namespace. */
export const namespace = "team";

/** The result of a merge patch: https://www.rfc-editor.org/rfc/rfc7396 */
export function merge(target: unknown, patch: object): object {
  const result: Record<string, unknown> = { ...(target as object) };
  for (const [key, value] of Object.entries(patch) as [string, unknown][]) {
    if (value === null) Reflect.deleteProperty(result, key);
    else if (Array.isArray(value) || typeof value !== "object") result[key] = value;
    else result[key] = merge(result[key] ?? {}, value);
  }
  return result;
}

/** Serves the writer's requests, and tells each write to whoever listens. */
export class AccountServer {
  readonly accounts = new Map<string, StoredAccount>();
  /** The requests that wrote, as VERB NAME. */
  readonly writes: string[] = [];
  readonly listeners: ((type: "set" | "delete", account: StoredAccount) => void)[] = [];
  #version = 0;

  /** Stores an account under its name. */
  put(account: object): StoredAccount {
    const { metadata } = account as StoredAccount;
    const uid = this.accounts.get(metadata.name)?.metadata.uid ?? `${metadata.name} ${String(this.#version)}`;
    const version = { namespace, uid, resourceVersion: String(++this.#version) };
    const stored = { ...account, metadata: { ...metadata, ...version } } as StoredAccount;
    this.accounts.set(metadata.name, stored);
    for (const listen of this.listeners) listen("set", stored);
    return stored;
  }

  delete(name: string): void {
    const found = this.accounts.get(name);
    this.accounts.delete(name);
    const resourceVersion = String(++this.#version);
    if (found !== undefined)
      for (const listen of this.listeners)
        listen("delete", { ...found, metadata: { ...found.metadata, resourceVersion } });
  }

  readonly kube: KubeClient = Object.assign(
    async <T>(request: KubeRequest) => Promise.resolve(this.#serve(request) as T),
    {
      reset: () => undefined,
    },
  );

  #serve(request: KubeRequest): unknown {
    const { method, path, contentType = "" } = request;
    const name = /\/serviceaccounts\/([^?]+)/.exec(path)?.[1] ?? assert.fail(path);
    const verb = contentType.includes("apply") ? "apply" : method;
    if (verb !== "GET") this.writes.push(`${verb} ${name}`);
    const body = bodyOf(request);
    const found = this.accounts.get(name);
    if (verb === "apply") return this.put(merge(found, body));
    if (found === undefined) throw new KubeError(request, 404, JSON.stringify({ reason: "NotFound" }));
    if (verb === "DELETE") return void this.delete(name);
    return verb === "PATCH" ? this.put(merge(found, body)) : found;
  }
}

const bodyOf = ({ body = {} }: KubeRequest): object => (typeof body === "string" ? (JSON.parse(body) as object) : body);

/** A helper that has listed the accounts, and follows them. */
export class AccountHelper {
  readonly config: HelperConfig;
  readonly cache: ClusterCache;
  readonly invalid: string[] = [];
  readonly #planner: Planner;
  readonly #writer: Writer;

  constructor(server: AccountServer, env: Readonly<Record<string, string>>) {
    this.config = readConfig({ ...helperEnvironment, ECR_HELPER_BUILD_NAMESPACES: namespace, ...env });
    this.cache = new ClusterCache(
      this.config,
      () => undefined,
      (_, error) => void this.invalid.push(String(error)),
      () => undefined,
    );
    [this.#planner, this.#writer] = [
      new Planner(this.config, this.cache),
      new Writer(server.kube, this.config, this.cache),
    ];
    const { sinks } = this;
    server.listeners.push((type, account) => {
      for (const [isWatched, sink] of sinks) if (isWatched(account.metadata.name)) sink[type](account);
    });
    for (const account of server.accounts.values())
      for (const [isWatched, sink] of sinks) if (isWatched(account.metadata.name)) sink.set(account);
  }

  /** The sinks of the watches of service accounts, each with what it watches. */
  get sinks(): [(name: string) => boolean, (typeof this.cache.watchTargets)[number]["sink"]][] {
    return this.cache.watchTargets
      .filter(({ path }) => path.includes("/serviceaccounts"))
      .map(({ path, sink }) => [(name) => !path.includes("?") || path.endsWith(`%3D${name}`), sink]);
  }

  /** Does what is to do for the service accounts. */
  async reconcile(): Promise<void> {
    const token = { username: "AWS", password: "x", issuedAt: 0, expiresAt: 1 };
    const desired = this.#planner.desired(new Map([["eu-west-1", token]]));
    for (const action of this.#planner.planNamespace(namespace, desired(namespace), undefined)) {
      if (action.object.kind === "ServiceAccount")
        await perform(this.#writer, namespace, action, new AbortController().signal);
    }
  }

  /** Removes what the next helper will not keep, once that has written everything; "none" when the stack ends. */
  async cleanUp(next: AccountHelper | "none"): Promise<void> {
    const deployment = { metadata: {}, spec: { template: { spec: { containers: [] } } } };
    const successor = next === "none" ? next : { config: next.config, deployment };
    for (const { run } of planCleanups(this.config, this.cache, successor, true))
      await run(this.#writer, new AbortController().signal);
  }
}
