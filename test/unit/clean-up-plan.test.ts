// What the last helper removes for the one that lent it the Lease, by what the Deployment says now.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ClusterCache } from "../../helper/cache/cluster-cache.ts";
import { isSuccessorReady, keptHash, successorOf, type Deployment } from "../../helper/cache/successor.ts";
import { readConfig } from "../../helper/config/helper-config.ts";
import { planCleanUp, type HasWritten } from "../../helper/controller/shutdown.ts";
import { Writer } from "../../helper/controller/writer.ts";
import type { Kube, KubeRequest } from "../../helper/kube/types.ts";
import { ownMetadata } from "../../helper/shared/ownership.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { secretDefinition } from "../support/secret-definition.ts";
import { SimulatedWatch } from "../support/simulated-watch.ts";

/** The variable of further secrets, by their names, with the namespaces of each. */
const further = (namespaces: Readonly<Record<string, string>>, type = "Opaque"): Record<string, string> => {
  const data = { username: "${username}" };
  const all = Object.entries(namespaces).map(([name, one]) =>
    secretDefinition({ name, type, namespaces: [one], data }),
  );
  return { ECR_HELPER_SECRETS: JSON.stringify(all) };
};
const environment = {
  ...helperEnvironment,
  ECR_HELPER_BUILD_NAMESPACES: "a,b",
  ...further({ argocd: "*", tools: "a" }),
};
const config = readConfig(environment);

const deploymentOf = (env: Readonly<Record<string, string>>): Deployment => ({
  metadata: { generation: 2 },
  spec: {
    template: {
      spec: {
        containers: [{ env: Object.entries({ ...environment, ...env }).map(([name, value]) => ({ name, value })) }],
      },
    },
  },
});
const hashOf = (env: Readonly<Record<string, string>>): string => keptHash(successorOf(config, deploymentOf(env)));

/** The paths that are deleted where one helper has written what `written` says, and the Deployment has the environment `now`. */
const deletions = async (written: string, now: Readonly<Record<string, string>>): Promise<string[]> =>
  deletionsWhere((_, next) => keptHash(next) === written, now);

/** The same by another test of what was written. The Deployment has no status, until a watch delivers these lines. */
async function deletionsWhere(
  hasWritten: HasWritten,
  now: Readonly<Record<string, string>>,
  lines: readonly string[] = [],
): Promise<string[]> {
  const cache = new ClusterCache(
    config,
    () => undefined,
    (_, error) => assert.fail(String(error)),
    () => undefined,
  );
  const watch = new SimulatedWatch(config, cache);
  for (const namespace of ["a", "b"])
    for (const name of config.secretNames)
      if (name !== "tools" || namespace === "a") watch.setSecret(namespace, ownMetadata(config, name));
  const deleted: string[] = [];
  const kube: Kube = async <T>({ method, path }: KubeRequest) => {
    if (method === "DELETE") deleted.push(path);
    return Promise.resolve(deploymentOf(now) as T);
  };
  async function* stream(): AsyncGenerator<string, void> {
    yield* await Promise.resolve(lines);
  }
  const plan = await planCleanUp(config, cache, { kube, stream, log: () => undefined }, hasWritten);
  const writes = Object.assign(kube, { reset: () => undefined });
  await plan?.(new Writer(writes, config, cache), new AbortController().signal);
  return deleted.map((path) => path.replace(/^.*namespaces\//, "").replace(/\?.*$/, "")).sort();
}

describe("the clean-up for the next helper", () => {
  const renamed = { ECR_HELPER_PULL_SECRET: "pulls" };

  it("removes what that helper has under another name", async () => {
    assert.deepEqual(await deletions(hashOf(renamed), renamed), [
      "a/secrets/ecr-creds-pull",
      "b/secrets/ecr-creds-pull",
    ]);
  });

  it("removes a further secret where that helper keeps none of its name", async () => {
    for (const [now, removed] of [
      [further({ argocd: "*", tools: "*" }), []],
      [further({ argocd: "*", tools: "a" }, "kubernetes.io/basic-auth"), []],
      [further({ argocd: "*" }), ["a/secrets/tools"]],
      [further({ argocd: "b", tools: "a" }), ["a/secrets/argocd"]],
      [further({ argocd: "a", tools: "b" }), ["a/secrets/tools", "b/secrets/argocd"]],
      [{ ECR_HELPER_SECRETS: "" }, ["a/secrets/argocd", "a/secrets/tools", "b/secrets/argocd"]],
    ] as const) {
      assert.deepEqual(await deletions(hashOf(now), now), removed);
      assert.deepEqual(await deletions("anything", now), [], "nothing that it has not replaced yet");
    }
  });

  it("removes no name where the Deployment has changed once more: nobody has written those of the present one", async () => {
    assert.deepEqual(await deletions(hashOf(renamed), { ECR_HELPER_PULL_SECRET: "others" }), []);
    assert.deepEqual(await deletions("anything", renamed), []);
  });

  it("waits for the status that belongs to the Deployment: it is older than the end of the helper's pod", async () => {
    const back = { ECR_HELPER_PULL_SECRET: "pulls" };
    const eventOf = (type: string, observedGeneration: number): string => {
      const status = { observedGeneration, replicas: 2, updatedReplicas: 1, readyReplicas: 1 };
      return JSON.stringify({ type, object: { ...deploymentOf(back), status } });
    };
    const hasWritten: HasWritten = (deployment) => isSuccessorReady(deployment, false);
    const both = ["a/secrets/ecr-creds-pull", "b/secrets/ecr-creds-pull"];
    assert.deepEqual(await deletionsWhere(hasWritten, back, [eventOf("MODIFIED", 1), eventOf("MODIFIED", 2)]), both);
    assert.deepEqual(await deletionsWhere(hasWritten, back, [eventOf("MODIFIED", 1)]), []);
    assert.deepEqual(await deletionsWhere(hasWritten, back, [eventOf("ERROR", 2)]), []);
  });

  it("removes nothing where the names are the same, and waits for no status", async () => {
    const hasWritten: HasWritten = () => assert.fail("the status was awaited");
    assert.deepEqual(await deletionsWhere(hasWritten, {}), []);
    assert.deepEqual(await deletionsWhere(hasWritten, { ECR_HELPER_LOG_LEVEL: "debug" }), []);
  });
});

describe("the hash of what a helper keeps", () => {
  it("depends on names and namespaces alone", () => {
    assert.equal(hashOf({ ECR_HELPER_LOG_LEVEL: "debug", ECR_HELPER_PORT: "1" }), keptHash(config));
    const others = [
      { ECR_HELPER_PULL_SECRET: "x" },
      { ECR_HELPER_BASIC_AUTH_SECRET: "x" },
      { ECR_HELPER_SERVICE_ACCOUNTS: "x" },
      { ECR_HELPER_SERVICE_ACCOUNT_SELECTOR: "x" },
      { ECR_HELPER_SECRETS: "" },
      further({ argocd: "*", other: "a" }),
      further({ argocd: "*", tools: "b" }),
      { ECR_HELPER_BUILD_NAMESPACES: "a" },
      { ECR_HELPER_EXCLUDE_NAMESPACES: "x" },
      { ECR_HELPER_NAMESPACE_SELECTOR: "x" },
    ];
    assert.equal(new Set([keptHash(config), ...others.map(hashOf)]).size, others.length + 1);
  });
});
