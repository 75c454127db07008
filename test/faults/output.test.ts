// What is done to the helper's standard output: it is full, or nobody is there to read it. A container's is such a pipe.
import assert from "node:assert/strict";
import { closeSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { freePort } from "../support/api-server.ts";
import { startOwnCluster, type OwnCluster } from "../support/disposable-cluster.ts";
import { Pipe } from "./named-pipe.ts";
import { done, outcome, Scene } from "./fault-fixture.ts";
import { renewed } from "../support/secret-monitor.ts";

let cluster: OwnCluster;
before(async () => (cluster = await startOwnCluster()));
after(async () => cluster.end());

const scenes = async (name: string, play: (scene: Scene, pipe: Pipe) => Promise<void>): Promise<void> => {
  const scene = await Scene.set(cluster, { tokenLife: 16_000 });
  try {
    await scene.grow(5);
    await play(scene, new Pipe(join(cluster.folder, name)));
    assert.deepEqual(await scene.witness.stop(), []);
  } finally {
    await scene.end();
  }
};

describe("the helper's standard output", { concurrency: true }, () => {
  it("may be full: every credential is kept and refreshed, and the helper ends when it is told to", async (t) => {
    await scenes("full", async (scene, pipe) => {
      pipe.fill();
      const port = await freePort();
      const [stdout, since] = [pipe.writer(), performance.now()];
      const helper = scene.runIn({ stdout }, { ECR_HELPER_PORT: String(port) });
      await scene.isRight();
      outcome(t, "a full standard output", "first pass as ever", since);
      await scene.witness.come(2 * 5 + 1, renewed(scene.witness));
      await scene.isRight();
      assert.equal((await fetch(`http://127.0.0.1:${String(port)}/healthz`)).status, 200);
      const { code, took } = await helper.stop();
      assert.equal(code, 0);
      assert.ok(took < 2_000, `it took ${String(took)} ms`);
      closeSync(stdout);
      pipe.leave();
    });
  });

  it("may have no reader: every credential is kept and refreshed, and the next reader gets what comes then", async (t) => {
    await scenes("closed", async (scene, pipe) => {
      const stdout = pipe.writer();
      const helper = scene.runIn({ stdout });
      closeSync(stdout);
      pipe.leave();
      await scene.isRight();
      await scene.witness.come(2 * 5 + 1, renewed(scene.witness));
      pipe.return();
      const since = performance.now();
      await pipe.linesUpTo(done);
      outcome(t, "a standard output that nobody reads", "every secret accepted at all times", since);
      assert.equal((await helper.stop()).code, 0);
    });
  });
});
