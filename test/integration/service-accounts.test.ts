// Several service accounts in each build namespace: those that the helper makes, those of others, and `default`, which Kubernetes makes.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import { isRunning, pushApp, runPod } from "../e2e/pods.ts";
import { rootCredentials } from "../local/root-key.ts";
import { account, aws, ports } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import type { ServiceAccount } from "../support/kept-objects.ts";
import { passwordFor } from "../support/registry-client.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const timeout = 60_000;
const merge = "application/merge-patch+json";

describe("several service accounts", () => {
  const repositoryName = `app-${id}`;
  const registryHost = `${ports.registry.address}:${String(ports.registry.port)}`;
  const image = `${registryHost}/${repositoryName}:1`;
  const ecr = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(account) });
  const namespaces = Array.from({ length: 10 }, (_, index) => `${id}-${String(index)}`);
  const [first = "", second = ""] = namespaces;
  let parts: Parts;
  let helper: HelperProcess;

  before(async () => {
    await ecr.send(new CreateRepositoryCommand({ repositoryName }));
    await pushApp(image, await passwordFor(rootCredentials(account), { api: ports.gateway }));
    const config = { serviceAccounts: '["builder-sa","default","ci"]', registryHost };
    parts = await makeParts([`${id}-*`], { config });
    helper = parts.run();
    await helper.line(/the secret will expire/);
  });

  after(async () => {
    await parts.remove();
    await ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }));
  });

  const collection = (namespace: string): string => `/api/v1/namespaces/${namespace}/serviceaccounts`;
  /** Resolves with a service account once it is as wanted. */
  const accountWhen = async (
    namespace: string,
    name: string,
    isAsWanted: (found: ServiceAccount) => boolean,
  ): Promise<ServiceAccount> =>
    waitForObject(parts.options, `${collection(namespace)}?fieldSelector=metadata.name%3D${name}`, isAsWanted, timeout);
  const lists = ({ secrets = [], imagePullSecrets = [] }: ServiceAccount): string[][] =>
    [secrets, imagePullSecrets].map((list) => list.map(({ name }) => name));
  const hasBoth = (found: ServiceAccount): boolean => {
    const [secrets = [], pulls = []] = lists(found);
    return secrets.includes("ecr-creds") && pulls.includes("ecr-creds-pull");
  };

  it("list both secrets as soon as a namespace is there; the helper makes none that Kubernetes makes", async () => {
    await Promise.all(namespaces.map(async (name) => parts.namespace(name)));
    for (const namespace of namespaces) {
      for (const name of ["builder-sa", "ci"]) {
        const { metadata } = await accountWhen(namespace, name, hasBoth);
        assert.equal(metadata.ownerReferences?.length, 2, `${name} is the stack's`);
      }
      const { metadata } = await accountWhen(namespace, "default", hasBoth);
      assert.deepEqual([metadata.labels, metadata.ownerReferences], [undefined, undefined]);
    }
  });

  it("let a pod pull that says nothing of its service account", async () => {
    const pod = await runPod(parts.options, first, { name: "app", image, serviceAccountName: "" }, isRunning);
    assert.equal(pod.status.phase, "Running");
  });

  it("keep the entries of others, each in its own account", async () => {
    const body = { secrets: [{ name: "theirs" }, { name: "ecr-creds" }], imagePullSecrets: [{ name: "theirs" }] };
    await parts.admin({ method: "PATCH", path: `${collection(first)}/default`, contentType: merge, body });
    const changed = await accountWhen(first, "default", hasBoth);
    assert.deepEqual(lists(changed), [
      ["theirs", "ecr-creds"],
      ["theirs", "ecr-creds-pull"],
    ]);
    assert.deepEqual(lists(await accountWhen(first, "ci", hasBoth)), [["ecr-creds"], ["ecr-creds-pull"]]);
  });

  it("get them again when they were deleted, whoever makes them again", async () => {
    for (const name of ["default", "ci"]) {
      const { metadata } = await parts.admin<{ metadata: { uid: string } }>({
        method: "GET",
        path: `${collection(second)}/${name}`,
      });
      await parts.admin({ method: "DELETE", path: `${collection(second)}/${name}` });
      const isAnother = (found: ServiceAccount): boolean =>
        (found.metadata as { uid?: string }).uid !== metadata.uid && hasBoth(found);
      await accountWhen(second, name, isAnother);
    }
  });

  it("lose the helper's entries, and no others, when the stack is destroyed", async () => {
    await parts.endStack();
    assert.equal((await helper.stop()).code, 0);
    assert.deepEqual(lists(await accountWhen(first, "default", () => true)), [["theirs"], ["theirs"]]);
    for (const namespace of namespaces.slice(1)) {
      const { metadata, ...rest } = await accountWhen(namespace, "default", () => true);
      assert.deepEqual(lists({ metadata, ...rest }), [[], []]);
      assert.ok(!JSON.stringify(metadata).includes('"ecr-helper/'), namespace);
    }
  });
});
