// Several helpers of one stack: each has a pod name, a token of its service account and a way to the API server and to AWS of its
// own, so that one of them can be stopped or cut off alone.
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { respondsOk } from "../local/process.ts";
import { freePort } from "../support/api-server.ts";
import { requestBoundToken } from "../support/bound-token.ts";
import { setCut } from "../support/cut.ts";
import type { DisposableCluster } from "../support/disposable-cluster.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { waitForHolderAmong } from "../support/lease-holder.ts";
import { Proxy } from "../support/proxy.ts";
import { FaultFixture, type FixtureOptions } from "./fault-fixture.ts";
import { readLateWrites, type LateWrites } from "./lease-audit.ts";

/** One of the helpers. */
export interface Contender {
  /** The name of its pod, by which the Lease knows it. */
  readonly pod: string;
  readonly helper: HelperProcess;
  /** Between it and the API server. */
  readonly kubernetes: Proxy;
  /** Between it and AWS. */
  readonly aws: Proxy;
  /** Where it answers probes and shows its metrics. */
  readonly url: string;
  /**
   * Drops every packet between it and both proxies, or no longer drops them. As with a cut cable, connections stay open on both sides,
   * and the kernel sends again what was not confirmed.
   */
  readonly setCut: (isCut: boolean) => Promise<void>;
}

/** The helpers, and the fixture that they work in; a test has to call `remove`. */
export class Contenders {
  readonly fixture: FaultFixture;
  readonly #all: Contender[] = [];

  private constructor(fixture: FaultFixture) {
    this.fixture = fixture;
  }

  /** Creates the fixture without any helper. */
  static async create(cluster: DisposableCluster, options: FixtureOptions = {}): Promise<Contenders> {
    return new Contenders(await FaultFixture.create(cluster, options));
  }

  /** Starts a helper, and resolves when it is ready: it works, or could work at once. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<Contender> {
    const { parts, gateway } = this.fixture;
    const kubernetes = await Proxy.start({ upstream: parts.options.server, ca: parts.options.ca() });
    const aws = await Proxy.start({ upstream: gateway.env.AWS_ENDPOINT_URL });
    const { token } = await requestBoundToken(parts);
    const [pod, port] = [`${this.fixture.id}-${String(this.#all.length)}`, String(await freePort())];
    const helper = parts.run(
      { AWS_ENDPOINT_URL: aws.url, ECR_HELPER_POD: pod, ECR_HELPER_PORT: port, ...env },
      { server: kubernetes.url, ca: kubernetes.ca, token },
    );
    const url = `http://127.0.0.1:${port}`;
    let wasCut = false;
    const cut = async (isCut: boolean): Promise<void> => {
      if (isCut === wasCut) return;
      wasCut = isCut;
      await setCut([kubernetes.url, aws.url], isCut);
    };
    const contender = { pod, helper, kubernetes, aws, url, setCut: cut };
    this.#all.push(contender);
    // As the kubelet does: nothing else tells that a helper is ready.
    while (!(await respondsOk(`${url}/readyz`))) {
      if (helper.hasEnded) throw new Error(`${pod} ended before it was ready`);
      await delay(50);
    }
    return contender;
  }

  /** Starts one that works and some that stand by, for so many namespaces; resolves when all is as it should be. */
  async startAll(count: number, namespaces: number): Promise<[holder: Contender, ...others: Contender[]]> {
    await this.fixture.addNamespaces(namespaces);
    const holder = await this.start();
    await this.fixture.waitUntilConverged();
    return [holder, ...(await Promise.all(Array.from({ length: count - 1 }, async () => this.start())))];
  }

  /** Resolves when one of these holds the Lease. */
  async waitForHolder(wanted: readonly Contender[]): Promise<Contender> {
    return waitForHolderAmong(this.fixture.parts, wanted);
  }

  /** Creates a build namespace, and resolves with the milliseconds until it has both secrets. */
  async serveNamespace(timeout: number): Promise<number> {
    const { fixture } = this;
    await fixture.addNamespaces(1);
    const [since, name] = [performance.now(), fixture.namespaces.at(-1) ?? ""];
    const { monitor } = fixture;
    const wanted = ["ecr-creds", "ecr-creds-pull"].map((secret) => `${name}/${secret}`);
    await monitor.waitUntil(() => wanted.every((secret) => monitor.latest.has(secret)), timeout);
    return performance.now() - since;
  }

  /** The writes so far that the Lease should have prevented. */
  async lateWrites(): Promise<LateWrites> {
    const { parts } = this.fixture;
    return readLateWrites(parts.options.server, String(parts.env["ECR_HELPER_NAMESPACE"]));
  }

  /** Kills the helpers, and removes the fixture. */
  async remove(): Promise<void> {
    await Promise.all(this.#all.map(async ({ helper }) => helper.stop("SIGKILL")));
    await this.fixture.remove();
    for (const { kubernetes, aws } of this.#all) await Promise.all([kubernetes.close(), aws.close()]);
  }
}

/** How long a token lives, in milliseconds: until it is refreshed by the helper that takes over. */
export const tokenLife = 60_000;

/**
 * Runs a case, which resolves with its outcome, and checks what holds in all of them: no write by two helpers, and a valid credential at
 * every moment.
 */
export async function withContenders(
  cluster: DisposableCluster,
  t: TestContext,
  run: (contenders: Contenders) => Promise<string>,
): Promise<void> {
  const contenders = await Contenders.create(cluster, { tokenLife });
  try {
    const outcome = await run(contenders);
    const { monitor } = contenders.fixture;
    await contenders.fixture.waitUntilConverged();
    assert.deepEqual(await monitor.stop(), []);
    const { arrived, ended } = await contenders.lateWrites();
    assert.deepEqual({ arrived, ended }, { arrived: [], ended: [] });
    t.diagnostic(`outcome: ${outcome} | writes by two helpers: 0, a valid credential in every namespace at all times`);
  } finally {
    await contenders.remove();
  }
}

/** A time for an outcome. */
export const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`;
