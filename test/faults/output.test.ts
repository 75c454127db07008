// What is done to the helper's standard output: it is full, or nobody is there to read it. A container's is such a pipe.
import assert from "node:assert/strict";
import { closeSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { freePort } from "../support/api-server.ts";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { NamedPipe } from "./named-pipe.ts";
import { passCompleted, reportOutcome, FaultFixture } from "./fault-fixture.ts";
import { hasNewerToken } from "../support/secret-monitor.ts";

let cluster: DisposableCluster;
before(async () => (cluster = await startDisposableCluster()));
after(async () => cluster.remove());

const scenes = async (name: string, play: (scene: FaultFixture, pipe: NamedPipe) => Promise<void>): Promise<void> => {
  const scene = await FaultFixture.create(cluster, { tokenLife: 16_000 });
  try {
    await scene.addNamespaces(5);
    await play(scene, new NamedPipe(join(cluster.folder, name)));
    assert.deepEqual(await scene.monitor.stop(), []);
  } finally {
    await scene.remove();
  }
};

describe("the helper's standard output", { concurrency: true }, () => {
  it("may be full: every credential is kept and refreshed, and the helper ends when it is told to", async (t) => {
    await scenes("full", async (scene, pipe) => {
      pipe.fill();
      const port = await freePort();
      const [stdout, since] = [pipe.openWriter(), performance.now()];
      const helper = scene.runWith({ stdout }, { ECR_HELPER_PORT: String(port) });
      await scene.waitUntilConverged();
      reportOutcome(t, "a full standard output", "first pass as ever", since);
      await scene.monitor.waitForVersions(2 * 5 + 1, hasNewerToken(scene.monitor));
      await scene.waitUntilConverged();
      assert.equal((await fetch(`http://127.0.0.1:${String(port)}/healthz`)).status, 200);
      const { code, took } = await helper.stop();
      assert.equal(code, 0);
      assert.ok(took < 2_000, `it took ${String(took)} ms`);
      closeSync(stdout);
      pipe.closeReader();
    });
  });

  it("may have no reader: every credential is kept and refreshed, and the next reader gets what comes then", async (t) => {
    await scenes("closed", async (scene, pipe) => {
      const stdout = pipe.openWriter();
      const helper = scene.runWith({ stdout });
      closeSync(stdout);
      pipe.closeReader();
      await scene.waitUntilConverged();
      await scene.monitor.waitForVersions(2 * 5 + 1, hasNewerToken(scene.monitor));
      pipe.reopenReader();
      const since = performance.now();
      await pipe.linesUpTo(passCompleted);
      reportOutcome(t, "a standard output that nobody reads", "every secret accepted at all times", since);
      assert.equal((await helper.stop()).code, 0);
    });
  });
});
