import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { simulate, writesOf } from "../support/controller-simulation.ts";

describe("a helper whose Deployment has a new template", () => {
  const rolling = { ECR_HELPER_LOG_LEVEL: "debug" };

  it("leaves the secrets that its successor wrote, and writes its own with the next token: the successor may never be ready", async () => {
    const { writes, newToken, applyByPeer, setDeployment } = simulate();
    await setDeployment({});
    await newToken();
    await setDeployment(rolling);
    writes.length = 0;
    await applyByPeer("a", "ecr-creds", "2026-11-22T23:59:59.000Z");
    assert.equal(writes.length, 0);
    await newToken();
    assert.ok(writes.some((write) => write === "0 apply ecr-creds in a"));
    writes.length = 0;
    await setDeployment({});
    await applyByPeer("a", "ecr-creds", "2026-11-22T23:59:59.000Z");
    assert.deepEqual(writes, ["0 apply ecr-creds in a"], "the rollout was undone");
  });

  it("leaves the entries that its successor added, and puts back those that someone else removed", async () => {
    const { writes, newToken, setAccount, setDeployment } = simulate();
    await setDeployment({});
    await newToken();
    await setDeployment(rolling);
    writes.length = 0;
    const entries = { secrets: ["ecr-creds", "ecr-creds-us-east-1"], imagePullSecrets: ["ecr-creds-pull"] };
    await setAccount("a", entries);
    assert.deepEqual(writes, []);
    await setAccount("a", entries, ["ecr-creds"]);
    assert.deepEqual(writes, ["0 apply builder-sa in a"]);
  });

  it("removes at once what its successor will not keep, and creates it again when the rollout is undone", async () => {
    const { writes, newToken, setDeployment, controller } = simulate();
    await setDeployment({});
    await newToken();
    writes.length = 0;
    await setDeployment({ ECR_HELPER_BUILD_NAMESPACES: "a" });
    assert.deepEqual(writes, ["0 remove ecr-creds in b", "0 remove ecr-creds-pull in b", "0 release builder-sa in b"]);
    assert.deepEqual([...controller.states().keys()].sort(), ["a", "ecr-helper"]);
    writes.length = 0;
    await setDeployment({});
    assert.deepEqual(writes, writesOf("b"));
  });

  it("removes nothing when its successor has patterns or a configuration that it cannot parse", async () => {
    for (const namespaces of ["a*", "?"]) {
      const { writes, newToken, setDeployment } = simulate();
      await setDeployment({});
      await newToken();
      writes.length = 0;
      await setDeployment({ ECR_HELPER_BUILD_NAMESPACES: namespaces });
      await setDeployment({ ECR_HELPER_BUILD_NAMESPACES: "a", ECR_HELPER_IDENTITY: "of-a-later-version" });
      assert.deepEqual(writes, []);
    }
  });
});
