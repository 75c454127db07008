// A large cluster under the memory limit of the helper's container. FAULTS_NAMESPACES says how large.
import assert from "node:assert/strict";
import { closeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { freePort } from "../support/api-server.ts";
import { startOwnCluster, type OwnCluster } from "../support/disposable-cluster.ts";
import { ControlGroup } from "./control-group.ts";
import { Pipe } from "./named-pipe.ts";
import { outcome, Scene } from "./fault-fixture.ts";

const size = Number(process.env["FAULTS_NAMESPACES"] ?? 5_000);
const megabyte = 1 << 20;
const inMegabytes = (bytes: number): string => `${(bytes / megabyte).toFixed(0)} MiB`;

/** The limit that the stack gives the helper's container, in bytes. */
async function containerLimit({ parts }: Scene): Promise<number> {
  const namespace = String(parts.env["ECR_HELPER_NAMESPACE"]);
  const { spec } = await parts.admin<{
    spec: { template: { spec: { containers: { resources: { limits: { memory: string } } }[] } } };
  }>({ method: "GET", path: `/apis/apps/v1/namespaces/${namespace}/deployments/ecr-helper` });
  const { memory = "" } = spec.template.spec.containers[0]?.resources.limits ?? {};
  return Number(/^(\d+)Mi$/.exec(memory)?.[1]) * megabyte;
}

describe(`a cluster of ${String(size)} namespaces`, () => {
  let cluster: OwnCluster;
  let scene: Scene;
  let limit: number;

  before(async () => {
    cluster = await startOwnCluster();
    scene = await Scene.set(cluster);
    limit = await containerLimit(scene);
    await scene.grow(size);
  });
  after(async () => {
    await scene.end();
    await cluster.end();
  });

  it("loses nothing when the kernel kills the helper for want of memory", async (t) => {
    const group = await ControlGroup.make(`${scene.id}-scarce`, limit);
    const helper = scene.runIn({ around: group.around });
    await scene.witness.come(size / 10);
    while (!helper.hasEnded) await Promise.all([group.squeeze(), delay(10)]);
    assert.equal(await helper.end(), "SIGKILL");
    assert.equal(await group.kills(), 1);
    await group.remove();
    t.diagnostic(`killed after ${String(scene.witness.versions.length)} of ${String(2 * size + 1)} secrets`);
  });

  it("is right after one pass within the container's memory, even where nobody reads the log", async (t) => {
    const group = await ControlGroup.make(`${scene.id}-whole`, limit);
    const pipe = new Pipe(join(cluster.folder, "log"));
    const [port, stdout, since] = [await freePort(), pipe.writer(), performance.now()];
    const left = 2 * size + 1 - scene.witness.latest.size;
    const helper = scene.runIn({ around: group.around, stdout }, { ECR_HELPER_PORT: String(port) });
    closeSync(stdout);
    await scene.isRight(300_000);
    const what = `${inMegabytes(await group.peak())} of ${inMegabytes(limit)} at most`;
    outcome(t, `out of memory, then a pass over ${String(left)} secrets with the log unread`, what, since);
    assert.ok((await group.peak()) < limit, what);
    assert.equal(await group.kills(), 0);
    assert.equal((await fetch(`http://127.0.0.1:${String(port)}/healthz`)).status, 200);
    const lines = await pipe.linesUpTo(/lines of the log were lost/);
    const lost = Number(/^(\d+) lines/.exec(lines.at(-1)?.message ?? "")?.[1]);
    assert.ok(lines.length - 1 + lost >= left, "a line for each secret, or it is counted");
    t.diagnostic(`${String(lost)} lines were lost, ${String(lines.length - 1)} were kept`);
    assert.equal((await helper.stop()).code, 0);
    await group.remove();
    assert.deepEqual([await scene.witness.stop(), scene.witness.older], [[], []]);
  });
});
