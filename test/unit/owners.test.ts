import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Owners } from "../../helper/cache/owners.ts";
import { readConfig } from "../../helper/config/helper-config.ts";
import { OwnersReport } from "../../helper/observability/owners-report.ts";
import { hasOwners, ownerReference, ownerUids, withOwners } from "../../helper/resources/owners.ts";
import { ownerNames } from "../../helper/shared/ownership.ts";
import { simulate, writesOf, type ControllerSimulation } from "../support/controller-simulation.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { exampleOwners, exampleUid } from "../support/owners.ts";

const config = readConfig(helperEnvironment);
const [first, second] = ownerNames(config);
const stranger = { apiVersion: "v1", kind: "ConfigMap", name: first, uid: exampleUid(7) };

describe("the uids of the stack's owners in an object", () => {
  it("are those of both, in any order, and of nobody else's owners", () => {
    const [one, other] = exampleOwners(config);
    assert.equal(ownerUids(config, [other, stranger, one]), `${exampleUid(0)},${exampleUid(1)}`);
    assert.equal(ownerUids(config, [ownerReference("another", exampleUid(1)), stranger]), "");
    assert.equal(ownerUids(config, undefined), "");
  });

  it("are few and short, whatever others write", () => {
    const many = Array.from({ length: 10_000 }, (_, index) => ownerReference(first, exampleUid(index)));
    for (const references of [many, [ownerReference(first, "x".repeat(100_000))], "x", [null, 1, { uid: 1 }]])
      assert.ok(ownerUids(config, references).length < 300);
  });

  it("are complete with every owner that exists; a lost one is left to Kubernetes unless it is the last", () => {
    const [one, other, both] = [exampleUid(0), exampleUid(1), `${exampleUid(0)},${exampleUid(1)}`];
    for (const [found, wanted, isComplete] of [
      [both, both, true],
      [both, one, true],
      [one, both, false],
      [other, one, false],
      ["", one, false],
      ["", "", true],
      [one, "", false],
    ] as const)
      assert.equal(hasOwners(found, wanted), isComplete, `${found} for ${wanted}`);
  });

  it("are replaced, beside those of others", () => {
    const [one] = exampleOwners(config);
    assert.deepEqual(withOwners(config, [ownerReference(second, exampleUid(9)), stranger], one ? [one] : []), [
      stranger,
      one,
    ]);
  });
});

describe("the stack's owners", () => {
  const object = (
    name: string,
    uid: string,
    more: object = {},
  ): { metadata: { name: string; uid: string; resourceVersion: string } } => ({
    metadata: { name, uid, resourceVersion: "1", ...more },
  });

  it("are missing once their list, a deletion, or a wait for it says so", () => {
    let changes = 0;
    const owners = new Owners(config, () => changes++);
    const [one, other] = [owners.sink(first), owners.sink(second)];
    assert.deepEqual([owners.references, owners.missing], [[], []], "nothing is known before they were listed");
    one.listed(new Set(), 1);
    other.set(object(second, exampleUid(1)));
    other.listed(new Set([exampleUid(1)]), 1);
    assert.deepEqual([owners.references, owners.missing], [[ownerReference(second, exampleUid(1))], [first]]);
    one.set(object(first, exampleUid(0)));
    assert.deepEqual([owners.uids, owners.missing], [`${exampleUid(0)},${exampleUid(1)}`, []]);
    one.set(object(first, exampleUid(0), { deletionTimestamp: "2026-11-23T00:00:00Z" }));
    assert.deepEqual(owners.missing, [first]);
    other.delete(object(second, exampleUid(1)));
    assert.deepEqual([owners.references, owners.uids, changes], [[], "", 5]);
    other.listed(new Set(), 2);
    assert.equal(changes, 5, "what is known already is no change");
  });

  it("are reported once each when they are missing, with the remedy, and when they are back", () => {
    const [lines, events]: [string[], string[]] = [[], []];
    const report = new OwnersReport(
      config,
      (level, message) => void lines.push(`${level} ${message}`),
      (namespace, { kind, name }, reason) => void events.push(`${reason} ${namespace}/${kind}/${name}`),
    );
    for (const missing of [[], [first], [first], [first, second], []]) report.update(missing);
    const wanted = [
      /^error ClusterRole ecr-helper-test, .* The other owner keeps everything.*`pulumi up --refresh`/,
      /^error ClusterRole ecr-helper-test-owner, .* Nothing owns what the helper keeps.*`pulumi up --refresh`/,
      /^info ClusterRole ecr-helper-test exists again/,
      /^info ClusterRole ecr-helper-test-owner exists again/,
    ];
    assert.equal(lines.length, wanted.length);
    for (const [index, pattern] of wanted.entries()) assert.match(lines[index] ?? "", pattern);
    const event = "OwnerMissing ecr-helper/Deployment/ecr-helper";
    assert.deepEqual(events, [event, event]);
  });
});

describe("the controller, when the stack's owners change", () => {
  const prepare = async (): Promise<ControllerSimulation> => {
    const simulation = simulate();
    await simulation.setOwner(0, exampleUid(0));
    await simulation.setOwner(1, exampleUid(1));
    await simulation.newToken();
    simulation.writes.length = 0;
    return simulation;
  };
  const all = [...writesOf("a"), ...writesOf("b"), "0 apply ecr-creds-pull in ecr-helper"].sort();

  it("writes nothing when one is lost, and each object once when it is back, which is no drift", async () => {
    const { setOwner, writes, drifted } = await prepare();
    await setOwner(0, undefined);
    assert.deepEqual(writes, []);
    await setOwner(0, exampleUid(2));
    assert.deepEqual(writes.sort(), all);
    assert.deepEqual(drifted, []);
  });

  it("writes each object once when both are lost, so that Kubernetes does not delete it", async () => {
    const { setOwner, writes, drifted } = await prepare();
    await setOwner(0, undefined);
    await setOwner(1, undefined);
    assert.deepEqual(writes.sort(), all);
    assert.deepEqual(drifted, []);
  });

  it("gives a secret its owners back when somebody took them, which is drift", async () => {
    const { change, writes, lines } = await prepare();
    await change("a", "ecr-creds", "disowned");
    assert.deepEqual(writes, ["0 apply ecr-creds in a"]);
    assert.ok(lines.includes("warn secret/ecr-creds in namespace a lost its owner; it was put back"), lines.join("\n"));
  });
});
