import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { minute, refusal, simulate, writesOf } from "../support/controller-simulation.ts";
import { secretDefinition } from "../support/secret-definition.ts";

describe("namespaces included by pattern or selector", () => {
  const env = {
    ECR_HELPER_BUILD_NAMESPACES: "team-*",
    ECR_HELPER_NAMESPACE_SELECTOR: "builds=yes",
    ECR_HELPER_EXCLUDE_NAMESPACES: "*-x",
  };

  it("get their objects when they are created, and when their labels start to match", async () => {
    const { writes, newToken, setNamespace } = simulate(env);
    await newToken();
    for (const name of ["ecr-helper", "team-a", "team-x", "other"]) await setNamespace(name);
    assert.deepEqual(new Set(writes.map((write) => write.split(" ").at(-1))), new Set(["ecr-helper", "team-a"]));
    await setNamespace("other", { builds: "yes" });
    assert.deepEqual(writes.slice(-3), writesOf("other"));
  });

  it("that have no objects yet come before those that get a newer token", async () => {
    const { writes, newToken, setNamespace, setSyncState } = simulate(env);
    await newToken();
    setSyncState((namespace) => (namespace === "team-new" ? "unknown" : "known"));
    for (let index = 0; index < 40; index++) await setNamespace(`team-${String(index)}`);
    await setNamespace("team-new");
    setSyncState(() => "known");
    writes.length = 0;
    await newToken();
    const firstIn = (name: string): number => writes.findIndex((write) => write.endsWith(` in ${name}`));
    // 32 are begun before the others are known.
    assert.ok(firstIn("team-new") < firstIn("team-33"), writes.join("\n"));
  });

  it("lose the helper's objects when their labels no longer match", async () => {
    const { writes, newToken, setNamespace, controller } = simulate(env);
    await newToken();
    await setNamespace("other", { builds: "yes" });
    writes.length = 0;
    await setNamespace("other", { builds: "no" });
    assert.deepEqual(writes, [
      "0 remove ecr-creds in other",
      "0 remove ecr-creds-pull in other",
      "0 release builder-sa in other",
    ]);
    assert.equal(controller.states().has("other"), false);
  });

  it("that are not included are cleared with increasing delay of secrets that others label as the helper's again and again", async () => {
    const { writes, newToken, setNamespace, copyOwnSecret, clock } = simulate(env);
    await newToken();
    await setNamespace("other");
    writes.length = 0;
    for (let count = 0; count < 300; count++) {
      await copyOwnSecret("other", "ecr-creds");
      await clock.advance(18);
    }
    assert.ok(writes.length <= 8, String(writes.length));
    await clock.advance(10 * minute);
    assert.equal(writes.at(-1)?.split(" ").slice(1).join(" "), "remove ecr-creds in other", "it is cleared in the end");
  });

  it("start without failures when they were deleted and created again, even if no watch has shown it", async () => {
    let isThere = false;
    const { writes, newToken, setNamespace, clock, drifted } = simulate(env, (write) =>
      isThere || !write.endsWith("team-a") ? undefined : refusal(404, "NotFound"),
    );
    await newToken();
    await setNamespace("team-a");
    await clock.advance(5 * minute);
    isThere = true;
    writes.length = 0;
    await setNamespace("team-a", {}, { uid: "another" });
    assert.deepEqual(
      writes.map((write) => write.split(" ").slice(1).join(" ")),
      writesOf("team-a").map((write) => write.slice(2)),
    );
    assert.deepEqual(drifted, []);
  });

  it("are left alone while they terminate", async () => {
    const { writes, newToken, setNamespace, change, controller } = simulate(env);
    await newToken();
    await setNamespace("team-a");
    writes.length = 0;
    await setNamespace("team-a", {}, { deletionTimestamp: "2026-11-23T00:00:00Z" });
    for (const name of ["ecr-creds", "ecr-creds-pull"]) await change("team-a", name, "deleted");
    assert.deepEqual(writes, []);
    assert.equal(controller.states().has("team-a"), false);
    await setNamespace("team-a");
    assert.equal(controller.states().get("team-a"), "synced");
  });
});

describe("a further secret", () => {
  const definitions = [
    secretDefinition({ name: "all", data: { username: "${username}" } }),
    secretDefinition({ name: "some", namespaces: ["*-a"], data: { password: "${password}" } }),
  ];
  const env = { ECR_HELPER_BUILD_NAMESPACES: "*", ECR_HELPER_SECRETS: JSON.stringify(definitions) };

  it("is written in its namespaces only, before the service accounts, and not again until there is a next token", async () => {
    const { writes, newToken, setNamespace, clock } = simulate(env);
    await newToken();
    for (const name of ["team-a", "team-b"]) await setNamespace(name);
    const of = (namespace: string): string[] => writes.filter((write) => write.endsWith(` in ${namespace}`));
    const [first, second, account] = writesOf("team-a");
    const further = ["0 apply all in team-a", "0 apply some in team-a"];
    assert.deepEqual(of("team-a"), [first, second, ...further, account]);
    assert.deepEqual(
      of("team-b").map((write) => write.split(" ")[2]),
      ["ecr-creds", "ecr-creds-pull", "all", "builder-sa"],
    );
    writes.length = 0;
    await clock.advance(10 * minute);
    assert.deepEqual(writes, []);
    await newToken();
    assert.equal(of("team-a").length, 4, "the service account is right");
    assert.equal(of("team-b").length, 3);
  });

  it("is put back where it is deleted, and removed where one has the stack's labels in another namespace", async () => {
    const { writes, newToken, setNamespace, change, copyOwnSecret, drifted } = simulate(env);
    await newToken();
    for (const name of ["team-a", "team-b"]) await setNamespace(name);
    writes.length = 0;
    await change("team-a", "some", "deleted");
    await copyOwnSecret("team-b", "some");
    assert.deepEqual(writes, ["0 apply some in team-a", "0 remove some in team-b"]);
    assert.deepEqual(drifted, ["secret/some"]);
  });

  it("that somebody else has made is left alone, which an Event says once", async () => {
    const { writes, newToken, setNamespace, change, warned, clock } = simulate(env);
    await newToken();
    await setNamespace("team-a");
    await setNamespace("team-b");
    await change("team-b", "some", "theirs");
    assert.deepEqual(warned, [], "it is in a namespace that gets none");
    await change("team-a", "some", "deleted");
    writes.length = 0;
    await change("team-a", "some", "theirs");
    await clock.advance(10 * minute);
    assert.deepEqual(warned, ["ForeignObject team-a/secret/some"]);
    assert.match(writes.join(), /^\S+ apply some in team-a$/);
  });
});
