// Two teams with groups of their own, and namespaces of neither, on the real engine: real pods pull what their group may pull.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import { GetRoleCommand, IAMClient } from "@aws-sdk/client-iam";
import { createKubeClient } from "../../helper/kube/client.ts";
import type { KubeError } from "../../helper/kube/errors.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { account, aws, kubeconfig, ports } from "../local/settings.ts";
import { rootCredentials } from "../local/root-key.ts";
import { changesOf, makeCheckout } from "../support/commands.ts";
import { passwordFor } from "../support/registry-client.ts";
import { isRefused, isRunning, pushApp, runPod, waitingOf } from "./pods.ts";
import { pullPassword, pullUntil } from "./pulls.ts";

const id = randomBytes(3).toString("hex");
const stack = `teams-${id}`;
const local = `${ports.registry.address}:${String(ports.registry.port)}`;
const options = readKubeconfig(kubeconfig);
const kube = createKubeClient(options);
/** The build namespaces of team a, of team b, and of none. */
const [inA, inB, inNone] = ["a", "b", "none"].map((team) => `${team}-${stack}`) as [string, string, string];
/** The repositories that only each of the teams may pull from (test/whole-run goes by the names), and one for all others. */
const [ofA, ofB, common] = [`${stack}/only-a/app`, `${stack}/only-b/app`, `${stack}/common`] as const;
const groups = [
  { name: "a", namespaces: ["a-*"], pullRepositories: [`${stack}/only-a/*`] },
  { name: "b", namespaces: [inB], pullRepositories: [ofB], pushRepositories: [`${stack}/only-b/pushed`] },
];

describe("two teams in one stack", async () => {
  const checkout = await makeCheckout(stack);
  const { command, start } = checkout;
  const ecr = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(account) });
  const iam = new IAMClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(account) });
  /** Deploys the stack; `during` gets its end. */
  const up = async (settings: string[], during?: (ended: Promise<unknown>) => Promise<void>): Promise<string[]> => {
    const { ended } = start("up", ...settings.flatMap((setting) => ["-c", setting]));
    await during?.(ended);
    const { code, stderr } = await ended;
    assert.equal(code, 0, stderr);
    return changesOf({ stderr });
  };
  const pullsOfB = async (ended: Promise<unknown>): Promise<void> => {
    const { pulled, refused } = await pullUntil(ended, `${local}/${ofB}@1`, async () => pullPassword(options, inB));
    assert.deepEqual([refused, pulled > 10], [[], true]);
  };
  let pods = 0;
  const pull = async (namespace: string, repository: string): Promise<string> => {
    const pod = { name: `pod-${String(pods++)}`, image: `${local}/${repository}:1`, serviceAccountName: "builder-sa" };
    const found = await runPod(options, namespace, pod, (one) => isRunning(one) || isRefused(one));
    return isRunning(found) ? "pulled" : (/403 Forbidden/.exec(waitingOf(found).message ?? "")?.[0] ?? "failed");
  };

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    for (const name of [inA, inB, inNone])
      await kube({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name } } });
    const password = await passwordFor(rootCredentials(account), { api: ports.gateway });
    for (const repositoryName of [ofA, ofB, common]) {
      await ecr.send(new CreateRepositoryCommand({ repositoryName }));
      await pushApp(`${local}/${repositoryName}:1`, password);
    }
    const names = ["namespace", "repositoryName", "policyName", "userName", "roleName"].map((key) => `${key}=${stack}`);
    const builds = `buildNamespaces=${JSON.stringify([inA, inB, inNone])}`;
    await up([...names, builds, `pullRepositories=["${common}"]`, `groups=${JSON.stringify(groups)}`]);
  });

  after(async () => {
    await command("down");
    for (const repositoryName of [ofA, ofB, common])
      await ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }));
    for (const name of [inA, inB, inNone]) await kube({ method: "DELETE", path: `/api/v1/namespaces/${name}` });
    await checkout.remove();
  });

  it("pull their own images, and not each other's", async () => {
    const results: Record<string, string[]> = {};
    for (const namespace of [inA, inB, inNone])
      results[namespace] = [await pull(namespace, ofA), await pull(namespace, ofB)];
    assert.deepEqual(results, {
      [inA]: ["pulled", "403 Forbidden"],
      [inB]: ["403 Forbidden", "pulled"],
      [inNone]: ["403 Forbidden", "403 Forbidden"],
    });
    assert.equal(await pull(inNone, common), "pulled");
  });

  it("have the roles of the output, and a second `up` changes nothing", async () => {
    const { stdout } = await command("output", "groupRoleArns", "--json");
    const arnOf = (name: string): string => `arn:aws:iam::${account}:role/${stack}-${name}`;
    assert.deepEqual(JSON.parse(stdout), { a: arnOf("a"), b: arnOf("b") });
    assert.deepEqual(await up([]), []);
  });

  it("lose a group and its role with `up`, in which no pull of another group fails, and have the stack's login then", async () => {
    const tokens = (name: string): string => `/api/v1/namespaces/${stack}/secrets/ecr-creds-pull.${name}`;
    await kube({ method: "GET", path: tokens("a") });
    await up([`groups=${JSON.stringify(groups.slice(1))}`], pullsOfB);
    assert.equal(await pull(inA, common), "pulled");
    assert.equal(await pull(inA, ofA), "403 Forbidden");
    assert.equal(await pull(inB, ofB), "pulled");
    await assert.rejects(iam.send(new GetRoleCommand({ RoleName: `${stack}-a` })), { name: "NoSuchEntityException" });
    await kube({ method: "GET", path: tokens("b") });
    await assert.rejects(kube({ method: "GET", path: tokens("a") }), (error: KubeError) => error.status === 404);
    assert.deepEqual(await up([]), []);
  });
});
