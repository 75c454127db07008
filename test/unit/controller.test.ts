import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { simulate, writesOf } from "../support/controller-simulation.ts";

describe("the controller", () => {
  it("writes every namespace's objects once there is a token, the service account last, and its own pull secret", async () => {
    const { writes, newToken, controller } = simulate();
    await newToken();
    for (const namespace of ["a", "b"]) {
      assert.deepEqual(
        writes.filter((write) => write.endsWith(` ${namespace}`)),
        writesOf(namespace),
      );
    }
    assert.deepEqual(
      writes.filter((write) => write.endsWith(" ecr-helper")),
      ["0 apply ecr-creds-pull in ecr-helper"],
    );
    assert.deepEqual([...controller.states().values()], ["synced", "synced", "synced"]);
  });

  it("logs the same lines as the script that it replaces", async () => {
    const { lines, newToken } = simulate({ ECR_HELPER_BUILD_NAMESPACES: "ecr-helper" });
    await newToken();
    assert.deepEqual(lines, [
      "info secret/ecr-creds configured in namespace ecr-helper",
      "info secret/ecr-creds-pull configured in namespace ecr-helper",
      "info serviceaccount/builder-sa configured in namespace ecr-helper",
      "info the secret will expire at Mon Nov 23 12:00:00 UTC 2026.",
    ]);
  });

  it("writes only the secrets again when the token changes", async () => {
    const { writes, newToken } = simulate({ ECR_HELPER_BUILD_NAMESPACES: "a" });
    await newToken();
    writes.length = 0;
    await newToken();
    assert.deepEqual(writes.sort(), [
      "0 apply ecr-creds in a",
      "0 apply ecr-creds-pull in a",
      "0 apply ecr-creds-pull in ecr-helper",
    ]);
  });

  it("writes nothing to a namespace that is not cached yet, and reports one that cannot be read as failing", async () => {
    const { writes, newToken, controller, setSyncState, clock } = simulate();
    setSyncState((namespace) => (namespace === "a" ? "unknown" : namespace === "b" ? "unreadable" : "known"));
    await newToken();
    assert.deepEqual(writes, ["0 apply ecr-creds-pull in ecr-helper"]);
    assert.deepEqual(Object.fromEntries(controller.states()), { a: "pending", b: "failing", "ecr-helper": "synced" });
    setSyncState(() => "known");
    controller.enqueue("a", false);
    await clock.advance(0);
    assert.equal(controller.states().get("a"), "synced");
  });
});
