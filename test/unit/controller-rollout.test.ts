import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { simulate, writesOf } from "../support/controller-simulation.ts";

describe("a helper whose Deployment has a new template", () => {
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
