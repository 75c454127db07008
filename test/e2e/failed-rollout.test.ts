// Rollouts that cannot succeed: `pulumi up` fails and says what is wrong, the last helpers work on, and the next `up` is quiet.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { createKubeClient } from "../../helper/kube/client.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { account, kubeconfig } from "../local/settings.ts";
import { makeCheckout, noChanges } from "../support/commands.ts";
import { secretPath, type Secret } from "../support/kept-objects.ts";
import { TestNamespaces } from "../support/test-namespaces.ts";
import { isReady, podsWhen, type Pod } from "./pods.ts";
import { serve } from "./pulls.ts";

const id = randomBytes(3).toString("hex");
const stack = `fr-${id}`;
const build = `${stack}-first`;
const { folder, command, remove } = await makeCheckout(stack);

/** A principal that no pod has. */
const nobody = `arn:aws:iam::${account}:user/${stack}`;

const nameOf = ({ metadata }: Pod): string => metadata.name;

describe("a rollout that cannot succeed", () => {
  const options = readKubeconfig(kubeconfig);
  const kube = createKubeClient(options);
  const testNamespaces = new TestNamespaces(kube);
  const twoReady = async (): Promise<Pod[]> =>
    podsWhen(options, stack, (pods) => pods.length === 2 && pods.every(isReady), 60_000);
  const settingsOf = (settings: readonly string[]): string[] => settings.flatMap((setting) => ["-c", setting]);
  const edit = async (file: string, from: string | RegExp, to: string): Promise<void> => {
    const path = join(folder, file);
    const source = await readFile(path, "utf8");
    const edited = source.replace(from, to);
    assert.notEqual(edited, source);
    await writeFile(path, edited);
  };
  /** Runs an up that fails; resolves to what it says. The helpers from before are the ones that are ready afterwards. */
  const fails = async (t: TestContext, ...settings: readonly string[]): Promise<string> => {
    const before = (await readyPods()).map(nameOf).sort();
    assert.equal(before.length, 2);
    // Settings of an `up` that fails are not kept.
    const { code, stderr } = await command("up", ...settingsOf([...settings, "rolloutTimeout=20"]));
    assert.equal(code, 1, stderr);
    assert.deepEqual((await readyPods()).map(nameOf).sort(), before);
    const seconds = await serve(options, testNamespaces, `${stack}-${randomBytes(3).toString("hex")}`, 20_000);
    t.diagnostic(`meanwhile a new namespace was served after ${seconds.toFixed(2)} s`);
    return stderr;
  };
  const readyPods = async (): Promise<Pod[]> => {
    const { items } = await kube<{ items: Pod[] }>({ method: "GET", path: `/api/v1/namespaces/${stack}/pods` });
    return items.filter((pod) => pod.metadata.deletionTimestamp === undefined && isReady(pod));
  };
  const logOfUnready = async (): Promise<string> => {
    const isUnready = (pods: readonly Pod[]): boolean => pods.some((pod) => !isReady(pod));
    const pod = (await podsWhen(options, stack, isUnready, 20_000)).find((one) => !isReady(one)) ?? assert.fail();
    return kube<string>({ method: "GET", path: `/api/v1/namespaces/${stack}/pods/${nameOf(pod)}/log` });
  };
  /** The next up puts things right, and the one after it has nothing to do. Resolves to the names of the pods. */
  const recovers = async (): Promise<string[]> => {
    const mended = await command("up");
    assert.equal(mended.code, 0, mended.stderr);
    const pods = (await twoReady()).map(nameOf).sort();
    assert.match((await command("up")).stderr, noChanges);
    return pods;
  };
  const secret = async (name: string): Promise<Secret> => kube({ method: "GET", path: secretPath(build, name) });

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    await testNamespaces.create(build);
    const names = ["namespace", "repositoryName", "policyName", "userName", "roleName"].map((key) => `${key}=${stack}`);
    const made = await command("up", ...settingsOf([...names, `buildNamespaces=["${stack}-*"]`, "replicas=2"]));
    assert.equal(made.code, 0, made.stderr);
  });

  after(async () => {
    await command("down");
    await testNamespaces.remove(stack);
    await remove();
  });

  it("for an image that does not start, and helpers that end meanwhile leave what they kept", async (t) => {
    await edit("helper/main.ts", /^/, 'throw new Error("broken on purpose");\n');
    for (const attempt of ["first", "second"]) {
      t.diagnostic(`the ${attempt} attempt`);
      const said = await fails(t, "pullSecret=pulls");
      assert.match(said, /CrashLoopBackOff[^]*broken on purpose/);
    }
    const kept = await secret("ecr-creds-pull");
    for (const pod of await readyPods())
      await kube({ method: "DELETE", path: `/api/v1/namespaces/${stack}/pods/${pod.metadata.name}` });
    await podsWhen(options, stack, (pods) => pods.length === 3 && pods.filter(isReady).length === 2, 60_000);
    assert.equal((await secret("ecr-creds-pull")).metadata.uid, kept.metadata.uid);
    await edit("helper/main.ts", 'throw new Error("broken on purpose");\n', "");
    const before = (await readyPods()).map(nameOf).sort();
    assert.deepEqual(await recovers(), before);
  });

  it("for an identity that is issued no token", async (t) => {
    const said = await fails(t, "identity=kube2iam", `trustedPrincipals=["${nobody}"]`);
    assert.match(said, /containers with unready status: \[ecr-helper\]/);
    assert.match(await logOfUnready(), /no authorization token for us-east-1/);
    // By other pods: Pulumi's Kubernetes provider leaves the annotation that only the failed template had.
    await recovers();
  });

  it("for a secret of somebody else that has the name of the pull secret", async (t) => {
    const body = { metadata: { name: "theirs" }, stringData: { what: "something else" } };
    await kube({ method: "POST", path: `/api/v1/namespaces/${stack}/secrets`, body });
    const before = (await readyPods()).map(nameOf).sort();
    const said = await fails(t, "pullSecret=theirs");
    assert.match(said, /containers with unready status: \[ecr-helper\]/);
    assert.match(await logOfUnready(), /theirs exists and was not made by this helper/);
    assert.deepEqual(await recovers(), before);
    await assert.rejects(secret("theirs"), /404|not found/);
  });
});
