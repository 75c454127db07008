// From the status of the Deployment the helper that ends tells whether one of the next template is ready.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isSuccessorReady, type Deployment } from "../../helper/cache/successor.ts";

const deploymentWith = (status: Deployment["status"], generation = 2): Deployment => ({
  metadata: { generation },
  spec: { template: { spec: { containers: [] } } },
  ...(status === undefined ? {} : { status: { observedGeneration: 2, ...status } }),
});

describe("the next helper", () => {
  for (const [what, status, expected] of [
    ["takes over from the only one", { replicas: 2, updatedReplicas: 1, readyReplicas: 2 }, true],
    ["has taken over from the only one", { replicas: 1, updatedReplicas: 1, readyReplicas: 1 }, true],
    ["takes over from the first of two", { replicas: 3, updatedReplicas: 1, readyReplicas: 3 }, true],
    ["has taken over, and the second one starts", { replicas: 3, updatedReplicas: 2, readyReplicas: 2 }, true],
    ["starts", { replicas: 2, updatedReplicas: 1, readyReplicas: 1 }, false],
    ["does not become ready while the last one is evicted", { replicas: 1, updatedReplicas: 1 }, false],
    ["does not become ready beside one that starts again", { replicas: 2, updatedReplicas: 1 }, false],
    ["does not become ready beside two", { replicas: 3, updatedReplicas: 1, readyReplicas: 2 }, false],
    ["could not be created", { replicas: 1, readyReplicas: 1 }, false],
    ["could not be created, and the last one is gone", {}, false],
  ] as const) {
    it(`is ${expected ? "ready" : "not ready"} where it ${what}`, () => {
      assert.equal(isSuccessorReady(deploymentWith(status), true), expected);
    });
  }

  it("is not ready by the status of an earlier template, or by none", () => {
    const complete = { replicas: 1, updatedReplicas: 1, readyReplicas: 1 };
    assert.equal(isSuccessorReady(deploymentWith(complete, 3), true), false);
    assert.equal(isSuccessorReady(deploymentWith(undefined), true), false);
  });

  for (const [what, status, expected] of [
    ["was there all the time", { replicas: 2, updatedReplicas: 1, readyReplicas: 1 }, true],
    ["is one of two that were", { replicas: 3, updatedReplicas: 2, readyReplicas: 2 }, true],
    [
      "was there, and the one that asks does not count any more",
      { replicas: 1, updatedReplicas: 1, readyReplicas: 1 },
      true,
    ],
    ["starts beside the last good one", { replicas: 3, updatedReplicas: 1, readyReplicas: 1 }, false],
    ["starts", { replicas: 1, updatedReplicas: 1 }, false],
  ] as const) {
    it(`is ${expected ? "ready" : "not ready"} for one that never was, after a rollout that failed, where it ${what}`, () => {
      assert.equal(isSuccessorReady(deploymentWith(status), false), expected);
    });
  }
});
