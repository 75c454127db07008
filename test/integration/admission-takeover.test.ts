// An update changes the policies before it replaces the helper. The old helper must then still be able to remove its objects.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { Writer } from "../../helper/controller/writer.ts";
import { readConfig, type HelperConfig } from "../../helper/config/helper-config.ts";
import { desiredSecrets } from "../../helper/resources/secrets.ts";
import { createKubeClient } from "../../helper/kube/client.ts";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import type { Kube, PartialObjectMetadata } from "../../helper/kube/types.ts";
import { ClusterCache } from "../../helper/cache/cluster-cache.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { apply, secretNamed } from "./attacks.ts";
import { denialMessage, waitForPolicy } from "../support/policy-enforcement.ts";
import { makePolicyStack, grantSecretRights, setPolicies, type PolicyStack } from "./policy-stack.ts";
import { exampleOwners } from "../support/owners.ts";
import { accountPath, secretPath, type ServiceAccount } from "../support/kept-objects.ts";
import { kubeOptionsOf } from "../support/kube-options.ts";

const id = randomBytes(3).toString("hex");
const namespace = `helper-${id}`;
const [made, extended, both, next] = [`old-${id}-made`, `old-${id}-extended`, `old-${id}-both`, `new-${id}`];
const { signal } = new AbortController();

describe("a helper whose stack has changed its rules and names", () => {
  let disposable: DisposableCluster;
  let admin: Kube;
  let stack: PolicyStack;
  let renamed: HelperConfig;

  const accountIn = async (one: string): Promise<ServiceAccount | undefined> =>
    undefinedIfNotFound(admin<ServiceAccount>({ method: "GET", path: accountPath(one) }));
  const namesIn = async (one: string): Promise<string[] | undefined> =>
    (await accountIn(one))?.secrets?.map(({ name }) => name);
  const writerOf = (
    config: HelperConfig,
    wrap: (kube: Kube) => Kube = (kube) => kube,
  ): { writer: Writer; cache: ClusterCache } => {
    const cache = new ClusterCache(
      config,
      () => undefined,
      (_, error) => assert.fail(String(error)),
      () => undefined,
    );
    return {
      writer: new Writer(wrap(createKubeClient(kubeOptionsOf(stack.cluster))), config, cache),
      cache,
    };
  };
  const entriesOf = (config: HelperConfig): { secrets: string[]; imagePullSecrets: string[] } => ({
    secrets: [...config.basicAuthSecrets.values()],
    imagePullSecrets: [config.pullSecret],
  });
  const token = { username: "AWS", password: "p", issuedAt: 0, expiresAt: 1 };

  before(async () => {
    disposable = await startDisposableCluster();
    const options = readKubeconfig(disposable.kubeconfig);
    admin = createKubeClient(options);
    await grantSecretRights(admin, id);
    const env = { ECR_HELPER_BUILD_NAMESPACES: `old-${id}-*,${next}` };
    stack = await makePolicyStack(admin, options, namespace, env);
    for (const name of [made, extended, both, next]) {
      await admin({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name } } });
    }
    for (const one of [extended, next]) {
      const body = { metadata: { name: "builder-sa" }, secrets: [{ name: "theirs" }] };
      await admin({ method: "POST", path: `/api/v1/namespaces/${one}/serviceaccounts`, body });
    }
    await waitForPolicy(stack.cluster, namespace, "ecr-creds-pull");
    const { writer } = writerOf(stack.config);
    const secrets = desiredSecrets(stack.config, new Map([["eu-west-1", token]]), exampleOwners(stack.config));
    for (const one of [made, extended, both, next]) {
      for (const secret of secrets) await writer.writeSecret(one, secret, undefined, signal);
      await writer.applyAccount(one, "builder-sa", entriesOf(stack.config), signal);
    }
    const account = await accountIn(both);
    const body = { secrets: [...(account?.secrets ?? []), { name: "theirs" }] };
    await admin({ method: "PATCH", path: accountPath(both), contentType: "application/merge-patch+json", body });

    const other = { ECR_HELPER_BASIC_AUTH_SECRET: "logins", ECR_HELPER_PULL_SECRET: "pulls" };
    const rules = { ECR_HELPER_BUILD_NAMESPACES: `new-${id}*`, ECR_HELPER_NAMESPACE: namespace };
    renamed = readConfig({ ...helperEnvironment, ...other, ...rules });
    await setPolicies(admin, renamed);
    const old = apply(secretPath(made, "ecr-creds"), secretNamed(stack.config, "ecr-creds"));
    while ((await denialMessage(stack.cluster, old)) === "") await new Promise(setImmediate);
  });

  after(async () => disposable.remove());

  it("removes its secrets, its service account, and its entries in foreign ones", async () => {
    const { writer, cache } = writerOf(stack.config);
    for (const name of ["ecr-creds", "ecr-creds-pull"]) {
      const found = await admin<PartialObjectMetadata>({ method: "GET", path: secretPath(made, name) });
      assert.equal(await writer.removeSecret(made, name, cache.projectSecret(name, found), signal), "removed");
    }
    for (const one of [made, extended, both])
      assert.equal(await writer.releaseAccount(one, "builder-sa", signal), "removed");
    assert.equal(await accountIn(made), undefined);
    assert.deepEqual([await namesIn(extended), await namesIn(both)], [["theirs"], ["theirs"]]);
    assert.ok(!JSON.stringify([await accountIn(extended), await accountIn(both)]).includes("ecr-helper/"));
    assert.deepEqual((await accountIn(both))?.metadata.labels, undefined, "it is foreign now");
  });

  it("is followed by one that replaces the old helper's entries with its own", async () => {
    const { writer } = writerOf(renamed);
    for (const secret of desiredSecrets(renamed, new Map([["eu-west-1", token]]), exampleOwners(renamed))) {
      assert.equal(await writer.writeSecret(next, secret, undefined, signal), "created");
    }
    assert.equal(await writer.applyAccount(next, "builder-sa", entriesOf(renamed), signal), "configured");
    assert.deepEqual(await namesIn(next), ["theirs", "logins"]);
  });

  it("extends, and does not take over, a service account that is created while the helper creates its own", async () => {
    const raced = `${next}-raced`;
    await admin({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: raced } } });
    let isCreated = false;
    const { writer } = writerOf(renamed, (kube) => async (call) => {
      const body = { metadata: { name: "builder-sa" }, secrets: [{ name: "theirs" }] };
      if (!isCreated) await admin({ method: "POST", path: `/api/v1/namespaces/${raced}/serviceaccounts`, body });
      isCreated = true;
      return kube(call);
    });
    assert.equal(await writer.applyAccount(raced, "builder-sa", entriesOf(renamed), signal), "configured");
    assert.deepEqual(await namesIn(raced), ["theirs", "logins"]);
    assert.deepEqual((await accountIn(raced))?.metadata.labels, undefined);
  });
});
