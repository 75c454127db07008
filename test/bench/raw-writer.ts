// The bench's own writers with a helper's rights, in namespaces of their own: what they write is compared with what a helper does.
import { inParallel } from "../../helper/runtime/parallel.ts";
import { listPages } from "../../helper/kube/list-pages.ts";
import { nameSelector } from "../../helper/kube/object-ref.ts";
import { acceptMetadataOnly, createKubeStream } from "../../helper/kube/client.ts";
import type { PartialObjectMetadata } from "../../helper/kube/types.ts";
import type { DisposableCluster } from "../support/disposable-cluster.ts";
import { kubeOptionsOf } from "../support/kube-options.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";
import { startMeter, type Cost } from "./usage.ts";
import { create, newSecrets, ways, writeRaw, writeSequentially, type Target } from "./writers.ts";

/** The raw writer has no more namespaces than this for a way: they show its rate, however many the helper has. */
export const maxNamespaces = 1_000;
const names = { basicAuthSecret: "raw", pullSecret: "raw-pull" };

/**
 * A second stack, whose service account writes: the API server checks and audits its requests as it does a helper's, but not those
 * of an administrator. Each way has its own namespaces, so that it is the only manager of its secrets' fields.
 */
export class RawWriter {
  readonly #id: string;
  readonly #parts: Parts;
  readonly #cluster: DisposableCluster;
  readonly #targets = new Map<string, Target[]>();
  #round = 0;

  private constructor(id: string, parts: Parts, cluster: DisposableCluster) {
    [this.#id, this.#parts, this.#cluster] = [id, parts, cluster];
  }

  /** Creates the stack, and the secrets in so many namespaces for each way, up to 1,000. */
  static async create(id: string, cluster: DisposableCluster, namespaces: number): Promise<RawWriter> {
    const { kubeconfig } = cluster;
    const parts = await makeParts([`${id}-*`], { kubeconfig, config: names });
    // Reading secrets, as other tools do, needs more rights than a helper has.
    const body = {
      metadata: { name: `${id}-writer` },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
      subjects: [{ kind: "ServiceAccount", name: "ecr-helper", namespace: parts.env["ECR_HELPER_NAMESPACE"] }],
    };
    await parts.admin({ method: "POST", path: "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body });
    const writer = new RawWriter(id, parts, cluster);
    for (const [index, way] of Object.values(ways).entries()) {
      await writer.#create(writer.#prefix(index), way.query === undefined ? create : way, namespaces);
    }
    return writer;
  }

  #prefix(way: number): string {
    return `${this.#id}-${String(way)}-`;
  }

  async #create(prefix: string, way: typeof create, count: number): Promise<void> {
    const length = Math.min(count, maxNamespaces);
    const namespaces = Array.from({ length }, (_, index) => `${prefix}${String(index)}`);
    await inParallel(namespaces, 32, async (name) => this.#parts.namespace(name));
    const targets = namespaces.flatMap((namespace) => Object.values(names).map((name) => ({ namespace, name })));
    await writeRaw(kubeOptionsOf(this.#parts.cluster), way, targets, newSecrets(this.#parts.env, 0));
  }

  /** Writes new content into the secrets of every way. Resolves with what a secret costs in each. */
  async round(): Promise<Map<string, Cost>> {
    const { cluster, env } = this.#parts;
    const costs = new Map<string, Cost>();
    const contents = newSecrets(env, ++this.#round);
    const unwatch = this.#watch(await this.#list());
    // In both orders by turns: whatever one way leaves behind falls on the other ones alike.
    const all = Object.entries(ways);
    for (const [name, way] of this.#round % 2 === 0 ? all : all.reverse()) {
      const targets = this.#targets.get(name) ?? [];
      const stop = startMeter({ ...this.#cluster.pids, writer: process.pid });
      await writeRaw(kubeOptionsOf(cluster), way, targets, contents);
      costs.set(name, stop(targets.length));
    }
    await unwatch();
    return costs;
  }

  /**
   * Follows the secrets of each name from a version, as whoever has to know their versions does: the API server sends each write to a
   * watch. The result ends that.
   */
  #watch(versions: ReadonlyMap<string, string>): () => Promise<void> {
    const [stream, over] = [createKubeStream(kubeOptionsOf(this.#parts.cluster)), new AbortController()];
    const { signal } = over;
    const watch = async ([name, version]: [string, string]): Promise<void> => {
      const path = `/api/v1/secrets?${nameSelector(name)}&watch=1&resourceVersion=${version}`;
      try {
        for await (const line of stream({ method: "GET", path, accept: acceptMetadataOnly(), signal }))
          JSON.parse(line);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
      if (!signal.aborted) throw new Error(`the watch ${path} ended`);
    };
    const watches = Promise.all([...versions].map(watch));
    return async () => {
      over.abort();
      await watches;
    };
  }

  /** Reads and writes the secrets of one way in turn. Resolves with the secrets per second. */
  async sequential(): Promise<number> {
    const { cluster, env } = this.#parts;
    const targets = this.#targets.get("PUT as JSON") ?? [];
    const stop = startMeter({});
    await writeSequentially(kubeOptionsOf(cluster), targets, newSecrets(env, ++this.#round));
    return stop(targets.length).rate;
  }

  /** Reads the resourceVersions. Resolves with that of each name's list. */
  async #list(): Promise<ReadonlyMap<string, string>> {
    const found: Target[] = [];
    const versions = new Map<string, string>();
    for (const name of Object.values(names)) {
      const path = `/api/v1/secrets?${nameSelector(name)}`;
      const accept = acceptMetadataOnly("PartialObjectMetadataList");
      const signal = AbortSignal.timeout(60_000);
      const pages = listPages<PartialObjectMetadata>(this.#parts.admin, { path, accept, signal });
      for await (const { items, metadata } of pages) {
        versions.set(name, metadata.resourceVersion);
        found.push(...(items ?? []).map(({ metadata }) => ({ namespace: "", ...metadata })));
      }
    }
    found.sort((left, right) => left.namespace.localeCompare(right.namespace));
    for (const [index, way] of Object.keys(ways).entries()) {
      this.#targets.set(
        way,
        found.filter(({ namespace }) => namespace.startsWith(this.#prefix(index))),
      );
    }
    return versions;
  }

  /** Deletes what it has in AWS. */
  async removeFromAws(): Promise<void> {
    await this.#parts.removeFromAws();
  }
}
