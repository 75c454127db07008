// Delivers events to a cluster cache, as the watches of an API server would.
import assert from "node:assert/strict";
import type { ClusterCache } from "../../helper/cache/cluster-cache.ts";
import type { HelperConfig } from "../../helper/config/helper-config.ts";
import type { Sink } from "../../helper/kube/reflector.ts";
import type { KubeObject } from "../../helper/kube/types.ts";
import { fieldsOf } from "../../helper/resources/managed-fields.ts";
import { newServiceAccount, type Entries, type ServiceAccount } from "../../helper/resources/service-account.ts";
import { includesUnnamed, namedAccounts } from "../../helper/shared/account-rules.ts";
import { fieldManager, type Metadata } from "../../helper/shared/ownership.ts";

/** Every event has a resourceVersion that is one higher than the last. */
export class SimulatedWatch {
  readonly #config: HelperConfig;
  readonly #cache: ClusterCache;
  #version = 0;

  constructor(config: HelperConfig, cache: ClusterCache) {
    [this.#config, this.#cache] = [config, cache];
  }

  /** A secret after the helper applied it, or after another field manager changed what the helper had applied. */
  setSecret(namespace: string, metadata: Metadata, changedBy?: string): void {
    const secret = { metadata, apiVersion: "v1", kind: "Secret", type: "" } as const;
    const fields = fieldsOf({ ...secret, data: { username: "", password: "", ".dockerconfigjson": "" } });
    const applied = { manager: fieldManager, operation: "Apply" };
    const managedFields =
      changedBy === undefined
        ? [{ ...applied, fieldsV1: fields }]
        : [{ ...applied, fieldsV1: {} }, { manager: changedBy }];
    const [uid, resourceVersion] = [`${namespace}/${metadata.name}`, this.#nextVersion()];
    const seen = { metadata: { ...metadata, namespace, uid, resourceVersion, managedFields } };
    this.#secretSink(metadata.name, namespace).set(seen);
  }

  deleteSecret(namespace: string, name: string): void {
    this.#secretSink(name, namespace).delete(this.#deleted(namespace, name));
  }

  /** A service account to which a helper added these entries, and from which others removed `lost`. */
  setAccount(namespace: string, name: string, entries: Entries, lost: readonly string[] = []): void {
    const {
      secrets = [],
      metadata,
      ...account
    } = newServiceAccount(this.#config, name, entries, this.#cache.owners.references);
    const labels = namedAccounts(this.#config).includes(name) ? metadata.labels : {};
    const seen: ServiceAccount & KubeObject = {
      ...account,
      metadata: {
        ...metadata,
        ...(labels && { labels }),
        namespace,
        uid: `${namespace}/${name}`,
        resourceVersion: this.#nextVersion(),
      },
      secrets: secrets.filter((entry) => !lost.includes(entry.name)),
    };
    this.#accountSink(name, namespace).set(seen);
  }

  /** A service account that somebody else has made, with these labels. */
  setForeignAccount(namespace: string, name: string, labels: Record<string, string>): void {
    const metadata = { name, namespace, labels, uid: `${namespace}/${name}`, resourceVersion: this.#nextVersion() };
    this.#accountSink(name, namespace).set({ metadata });
  }

  deleteAccount(namespace: string, name: string): void {
    this.#accountSink(name, namespace).delete(this.#deleted(namespace, name));
  }

  /** The helper's Deployment, with these environment variables in its template. */
  setDeployment(variables: Record<string, string>): void {
    const { namespace } = this.#config;
    const containers = [{ env: Object.entries(variables).map(([name, value]) => ({ name, value })) }];
    const metadata = { name: "ecr-helper", namespace, uid: "d", resourceVersion: this.#nextVersion() };
    const deployment = { metadata, spec: { template: { spec: { containers } } } };
    this.#sinkOf("deployments", namespace).set(deployment);
  }

  /** A namespace, with `more` metadata than its name and labels. */
  setNamespace(name: string, labels: Record<string, string>, more: object): void {
    const metadata = { name, uid: name, resourceVersion: this.#nextVersion(), labels, ...more };
    this.#sinkOf("/namespaces", name).set({ metadata });
  }

  /** A ClusterRole of this name exists with this uid; undefined: it does not exist. */
  setOwner(name: string, uid: string | undefined): void {
    const { set, listed } = this.#sinkOf(`clusterroles?fieldSelector=metadata.name%3D${name}`, "");
    if (uid === undefined) listed(new Set(), ++this.#version);
    else set({ metadata: { name, uid, resourceVersion: this.#nextVersion() } });
  }

  #nextVersion(): string {
    return String(++this.#version);
  }

  #deleted(namespace: string, name: string): KubeObject {
    return { metadata: { name, namespace, uid: "", resourceVersion: this.#nextVersion() } };
  }

  #secretSink(name: string, namespace: string): Sink<KubeObject> {
    return this.#sinkOf(`%3D${name}`, namespace);
  }

  #accountSink(name: string, namespace: string): Sink<KubeObject> {
    const isNamed = !includesUnnamed(this.#config);
    return this.#sinkOf(`serviceaccounts${isNamed ? `?fieldSelector=metadata.name%3D${name}` : ""}`, namespace);
  }

  #sinkOf(resource: string, namespace: string): Sink<KubeObject> {
    const found = this.#cache.watchTargets.find(
      (one) => one.path.includes(resource) && (one.namespace ?? namespace) === namespace,
    );
    assert.ok(found, `${resource} in ${namespace} is watched`);
    return found.sink;
  }
}
