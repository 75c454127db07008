// A large cluster under the memory limit of the helper's container. FAULTS_NAMESPACES sets the number of namespaces.
import assert from "node:assert/strict";
import { closeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { freePort } from "../support/api-server.ts";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { ControlGroup } from "./control-group.ts";
import { NamedPipe } from "./named-pipe.ts";
import { reportOutcome, FaultFixture } from "./fault-fixture.ts";

const size = Number(process.env["FAULTS_NAMESPACES"] ?? 5_000);
const megabyte = 1 << 20;
const inMegabytes = (bytes: number): string => `${(bytes / megabyte).toFixed(0)} MiB`;

/** The limit that the stack gives the helper's container, in bytes. */
async function containerLimit({ parts }: FaultFixture): Promise<number> {
  const namespace = String(parts.env["ECR_HELPER_NAMESPACE"]);
  const { spec } = await parts.admin<{
    spec: { template: { spec: { containers: { resources: { limits: { memory: string } } }[] } } };
  }>({ method: "GET", path: `/apis/apps/v1/namespaces/${namespace}/deployments/ecr-helper` });
  const { memory = "" } = spec.template.spec.containers[0]?.resources.limits ?? {};
  return Number(/^(\d+)Mi$/.exec(memory)?.[1]) * megabyte;
}

describe(`a cluster of ${String(size)} namespaces`, () => {
  let cluster: DisposableCluster;
  let fixture: FaultFixture;
  let limit: number;

  before(async () => {
    cluster = await startDisposableCluster();
    fixture = await FaultFixture.create(cluster);
    limit = await containerLimit(fixture);
    await fixture.addNamespaces(size);
  });
  after(async () => {
    await fixture.remove();
    await cluster.remove();
  });

  it("loses nothing when the kernel kills the helper for lack of memory", async (t) => {
    const group = await ControlGroup.make(`${fixture.id}-scarce`, limit);
    const helper = fixture.runWith({ wrapper: group.around });
    await fixture.monitor.waitForVersions(size / 10);
    while (!helper.hasEnded) await Promise.all([group.squeeze(), delay(10)]);
    assert.equal(await helper.waitForExit(), "SIGKILL");
    assert.equal(await group.kills(), 1);
    await group.remove();
    t.diagnostic(`killed after ${String(fixture.monitor.versions.length)} of ${String(2 * size + 1)} secrets`);
  });

  it("has all credentials after one pass within the container's memory, even if nobody reads the log", async (t) => {
    const group = await ControlGroup.make(`${fixture.id}-whole`, limit);
    const pipe = new NamedPipe(join(cluster.folder, "log"));
    const [port, stdout, since] = [await freePort(), pipe.openWriter(), performance.now()];
    const remaining = 2 * size + 1 - fixture.monitor.latest.size;
    const helper = fixture.runWith({ wrapper: group.around, stdout }, { ECR_HELPER_PORT: String(port) });
    closeSync(stdout);
    await fixture.waitUntilConverged(300_000);
    const what = `${inMegabytes(await group.peak())} of ${inMegabytes(limit)} at most`;
    reportOutcome(t, `out of memory, then a pass over ${String(remaining)} secrets with the log unread`, what, since);
    assert.ok((await group.peak()) < limit, what);
    assert.equal(await group.kills(), 0);
    assert.equal((await fetch(`http://127.0.0.1:${String(port)}/healthz`)).status, 200);
    const lines = await pipe.linesUpTo(/lines of the log were lost/);
    const lost = Number(/^(\d+) lines/.exec(lines.at(-1)?.message ?? "")?.[1]);
    assert.ok(lines.length - 1 + lost >= remaining, "a line for each secret, or it is counted");
    t.diagnostic(`${String(lost)} lines were lost, ${String(lines.length - 1)} were kept`);
    assert.equal((await helper.stop()).code, 0);
    await group.remove();
    assert.deepEqual(await fixture.monitor.stop(), []);
  });
});
