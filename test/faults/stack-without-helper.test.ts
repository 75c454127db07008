import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { waitForObject, waitUntilGone } from "../local/watch.ts";
import { ProxiedStack } from "./proxied-stack.ts";
import { deleteObject, kube, makeNamespace, options } from "./stack-resources.ts";
import { shell, type ShellResult } from "./shell.ts";

const name = `fw-${randomBytes(3).toString("hex")}`;
const builds = ["a", "b"].map((end) => `build-${name}-${end}`);
const merge = "application/merge-patch+json";

interface Account {
  metadata: { annotations?: Record<string, string> };
  secrets?: { name: string }[];
  imagePullSecrets?: { name: string }[];
}

const accountPath = (build: string): string => `/api/v1/namespaces/${build}/serviceaccounts`;
const account = async (build: string): Promise<Account> =>
  kube({ method: "GET", path: `${accountPath(build)}/builder-sa` });

describe("npm run down of a stack whose helper does not run", () => {
  let stack: ProxiedStack;

  before(async () => {
    for (const build of builds) {
      await makeNamespace(build);
      const body = {
        metadata: { name: "builder-sa" },
        secrets: [{ name: "theirs" }],
        imagePullSecrets: [{ name: "own" }],
      };
      await kube({ method: "POST", path: accountPath(build), body });
    }
    stack = await ProxiedStack.make(name, [`buildNamespaces=${JSON.stringify(builds)}`]);
  });

  after(async () => {
    await stack.end();
    for (const build of builds) await deleteObject(`/api/v1/namespaces/${build}`);
  });

  const down = async (): Promise<ShellResult> => shell(`'${process.execPath}' test/local/cli.ts down --stack ${name}`);
  const patchDeployment = async (spec: object): Promise<unknown> => {
    const path = `/apis/apps/v1/namespaces/${name}/deployments/ecr-helper`;
    return kube({ method: "PATCH", path, contentType: merge, body: { spec } });
  };

  it("names the helper's entries that are left in foreign service accounts, with one command that removes them", async (t) => {
    const up = await stack.up();
    assert.equal(up.code, 0, up.output);
    for (const build of builds) {
      const isExtended = ({ secrets = [] }: Account): boolean => secrets.length === 2;
      await waitForObject<Account>(options, accountPath(build), isExtended, 30_000);
    }
    // Ends the helper, and gives its Deployment an image that does not exist.
    await patchDeployment({ replicas: 0 });
    const pods = `/api/v1/namespaces/${name}/pods`;
    await waitUntilGone(options, pods, 60_000);
    const containers = [{ name: "ecr-helper", image: `127.77.77.1:5000/${name}:gone` }];
    const path = `/apis/apps/v1/namespaces/${name}/deployments/ecr-helper`;
    const body = { spec: { replicas: 1, template: { spec: { containers } } } };
    await kube({ method: "PATCH", path, contentType: "application/strategic-merge-patch+json", body });
    interface Pod {
      status: { containerStatuses?: { state: { waiting?: { reason: string } } }[] };
    }
    const isWaiting = ({ status }: Pod): boolean =>
      /ImagePull/.test(status.containerStatuses?.[0]?.state.waiting?.reason ?? "");
    await waitForObject<Pod>(options, pods, isWaiting, 60_000);

    const refused = await down();
    assert.equal(refused.code, 1, refused.output);
    for (const build of builds)
      assert.ok(refused.output.includes(`entries in service account ${build}/builder-sa`), refused.output);
    const [command = "", ...others] = refused.output.split("\n").filter((line) => line.startsWith("kubectl "));
    assert.deepEqual(others, []);
    const still = await down();
    assert.equal(still.code, 1, "it checks again");
    assert.ok(still.output.includes(command), still.output);
    const cleared = await shell(command);
    assert.equal(cleared.code, 0, cleared.output);
    for (const build of builds) {
      const { metadata, secrets, imagePullSecrets } = await account(build);
      assert.deepEqual(metadata.annotations ?? {}, {});
      assert.deepEqual([secrets, imagePullSecrets], [[{ name: "theirs" }], [{ name: "own" }]]);
    }
    const again = await down();
    assert.equal(again.code, 0, again.output);
    assert.match(again.output, /is destroyed and left nothing/);
    await stack.assertCleanedUp();
    const ended = `recovered after ${String(cleared.milliseconds + again.milliseconds)} ms`;
    t.diagnostic(`outcome: down without a helper | entries in foreign service accounts are named | ${ended}`);
  });
});
