// A controller on a cluster that exists only in its cache: each write succeeds at once, and a watch delivers it at once.
import assert from "node:assert/strict";
import { ClusterCache } from "../../helper/cache/cluster-cache.ts";
import type { SyncState } from "../../helper/cache/informers.ts";
import { readConfig, type HelperConfig } from "../../helper/config/helper-config.ts";
import { Controller } from "../../helper/controller/controller.ts";
import type { ControllerDependencies } from "../../helper/controller/dependencies.ts";
import type { Outcome } from "../../helper/controller/writer.ts";
import { ForeignObjectError } from "../../helper/controller/terminal-errors.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import { formatRef } from "../../helper/kube/object-ref.ts";
import { noEntries, type Entries } from "../../helper/resources/service-account.ts";
import { ownerNames, ownMetadata, type Metadata } from "../../helper/shared/ownership.ts";
import { helperEnvironment } from "./helper-environment.ts";
import { SimulatedWatch } from "./simulated-watch.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** In milliseconds. */
export const minute = 60_000;

const start = "2026-11-23T00:00:00Z";
const environment = { ...helperEnvironment, ECR_HELPER_BUILD_NAMESPACES: "a,b" };

/** The error of a write that the API server answers with this status and reason. */
export const refusal = (status: number, reason = ""): KubeError =>
  new KubeError({ method: "PATCH", path: "/x" }, status, JSON.stringify({ reason }));

/** All writes to a new build namespace, in their order, at second 0. */
export const writesOf = (namespace: string): string[] =>
  ["ecr-creds", "ecr-creds-pull", "builder-sa"].map((name) => `0 apply ${name} in ${namespace}`);

/** Runs the controller on a virtual clock. The fields are functions, so that a test can take out those that it needs. */
export class ControllerSimulation {
  /** Each write as "SECOND VERB NAME in NAMESPACE", failed ones included. */
  readonly writes: string[] = [];
  /** The log, each line after its level. */
  readonly lines: string[] = [];
  /** The Events, as "REASON NAMESPACE/OBJECT". */
  readonly warned: string[] = [];
  /** The objects that were put back after an outside change. */
  readonly drifted: string[] = [];
  readonly clock = new VirtualClock(start);
  readonly controller: Controller;
  readonly #config: HelperConfig;
  readonly #watch: SimulatedWatch;
  readonly #refuse: (write: string) => Error | undefined;
  readonly #end = new AbortController();
  /** The last applied metadata of each secret, by NAMESPACE/NAME. */
  readonly #applied = new Map<string, Metadata>();
  #syncStateOf: (namespace: string) => SyncState = () => "known";
  #tokens = 0;

  /** `refuse` returns the error of a write, or undefined when it succeeds. */
  constructor(env: Record<string, string>, refuse: (write: string) => Error | undefined) {
    [this.#config, this.#refuse] = [readConfig({ ...environment, ...env }), refuse];
    const cache = new ClusterCache(
      this.#config,
      (namespace) => this.controller.enqueue(namespace, true),
      (namespace, error) => assert.fail(`${namespace}: ${String(error)}`),
      () => this.controller.refreshOwners(),
    );
    this.#watch = new SimulatedWatch(this.#config, cache);
    const dependencies: ControllerDependencies = {
      writer: this.#writer(),
      warn: (namespace, object, reason) => void this.warned.push(`${reason} ${namespace}/${formatRef(object)}`),
      log: (level, message) => void this.lines.push(`${level} ${message}`),
      metrics: {
        applied: () => undefined,
        failed: () => undefined,
        drifted: (object) => void this.drifted.push(formatRef(object)),
      },
      clock: this.clock,
      random: () => 0,
      idle: () => undefined,
      concurrency: () => 32,
    };
    const syncStateOf = (namespace: string): SyncState => this.#syncStateOf(namespace);
    this.controller = new Controller(this.#config, cache, syncStateOf, dependencies, this.#end.signal);
  }

  /** What a write to a service account does, and how long it takes. */
  readonly account: { outcome: Outcome; milliseconds: number } = { outcome: "created", milliseconds: 0 };

  readonly stop = (): void => this.#end.abort();

  readonly setSyncState = (syncStateOf: (namespace: string) => SyncState): void => {
    this.#syncStateOf = syncStateOf;
  };

  /** Gives the controller a token that it has not seen, which lives 12 hours. */
  readonly newToken = async (): Promise<void> => {
    const password = `password ${String(++this.#tokens)}`;
    const [issuedAt, expiresAt] = [this.clock.now(), this.clock.now() + 720 * minute];
    this.controller.refresh(new Map([["eu-west-1", { username: "AWS", password, issuedAt, expiresAt }]]));
    await this.clock.advance(0);
  };

  /** Someone else deletes a secret, changes it, takes its owners away, or has one of their own in its place. */
  readonly change = async (
    namespace: string,
    name: string,
    how: "deleted" | "changed" | "disowned" | "theirs",
  ): Promise<void> => {
    const metadata = how === "theirs" ? { name } : this.#appliedMetadata(namespace, name);
    if (how === "deleted") this.#watch.deleteSecret(namespace, name);
    else if (how === "disowned") this.#watch.setSecret(namespace, { ...metadata, ownerReferences: [] });
    else this.#watch.setSecret(namespace, metadata, "kubectl-edit");
    await this.clock.advance(0);
  };

  /** An owner of the stack, the first or the second, exists with this uid, or no more. */
  readonly setOwner = async (index: 0 | 1, uid: string | undefined): Promise<void> =>
    this.deliver((watch) => watch.setOwner(ownerNames(this.#config)[index], uid));

  /** Someone else creates a secret with the helper's labels. */
  readonly copyOwnSecret = async (namespace: string, name: string): Promise<void> => {
    await this.deliver((watch) => watch.setSecret(namespace, ownMetadata(this.#config, name), "replicator"));
  };

  /** Another helper of the same stack applies a secret with a token that was requested at this time. */
  readonly applyByPeer = async (namespace: string, name: string, refreshedAt: string): Promise<void> => {
    const { annotations, ...metadata } = this.#appliedMetadata(namespace, name);
    const theirs = { "ecr-helper/refreshed-at": refreshedAt, "ecr-helper/revision": "another" };
    const all = { ...metadata, annotations: { ...annotations, ...theirs } };
    await this.deliver((watch) => watch.setSecret(namespace, all));
  };

  /** The template of the helper's Deployment gets these variables. */
  readonly setDeployment = async (variables: Record<string, string>): Promise<void> => {
    await this.deliver((watch) => watch.setDeployment({ ...environment, ...variables }));
  };

  /** A helper adds these entries to a service account, and others remove `lost` from it. */
  readonly setAccount = async (namespace: string, entries: Entries, lost: readonly string[] = []): Promise<void> =>
    this.deliver((watch) => watch.setAccount(namespace, "builder-sa", entries, lost));

  /** Something happens in the cluster. */
  readonly deliver = async (event: (watch: SimulatedWatch) => void): Promise<void> => {
    event(this.#watch);
    await this.clock.advance(0);
  };

  /** Someone else removes all of the helper's entries from a service account. */
  readonly loseEntries = async (namespace: string): Promise<void> => this.setAccount(namespace, noEntries);

  /** A namespace is created, or gets these labels or other metadata. */
  readonly setNamespace = async (
    name: string,
    labels: Record<string, string> = {},
    more: object = {},
  ): Promise<void> => {
    await this.deliver((watch) => watch.setNamespace(name, labels, more));
  };

  #appliedMetadata(namespace: string, name: string): Metadata {
    return this.#applied.get(`${namespace}/${name}`) ?? { name };
  }

  #record(write: string): void {
    this.writes.push(`${String((this.clock.now() - Date.parse(start)) / 1000)} ${write}`);
    const error = this.#refuse(write);
    if (error !== undefined) throw error;
  }

  /** Its methods are async, so that a refused write rejects. */
  #writer(): ControllerDependencies["writer"] {
    return {
      writeSecret: async (namespace, { name, toApply }, seen) => {
        this.#record(`apply ${name} in ${namespace}`);
        if (seen?.isOwned === false) throw new ForeignObjectError("theirs");
        const { metadata } = JSON.parse(toApply()) as { metadata: Metadata };
        this.#applied.set(`${namespace}/${name}`, metadata);
        this.#watch.setSecret(namespace, metadata);
        return Promise.resolve(seen === undefined ? "created" : "configured");
      },
      removeSecret: async (namespace, name) => {
        this.#record(`remove ${name} in ${namespace}`);
        this.#watch.deleteSecret(namespace, name);
        return Promise.resolve("removed");
      },
      applyAccount: async (namespace, name, entries) => {
        this.#record(`apply ${name} in ${namespace}`);
        await this.clock.sleep(this.account.milliseconds, this.#end.signal);
        this.#watch.setAccount(namespace, name, entries);
        return this.account.outcome;
      },
      releaseAccount: async (namespace, name) => {
        this.#record(`release ${name} in ${namespace}`);
        this.#watch.deleteAccount(namespace, name);
        return Promise.resolve("removed");
      },
    };
  }
}

/** A simulation with build namespaces `a` and `b`, unless `env` says otherwise. All writes succeed unless `refuse` says otherwise. */
export const simulate = (
  env: Record<string, string> = {},
  refuse: (write: string) => Error | undefined = () => undefined,
): ControllerSimulation => new ControllerSimulation(env, refuse);
