import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { compareOwnership, fieldsOf, managedFieldsOf } from "../../helper/resources/managed-fields.ts";
import { ownerReference } from "../../helper/resources/owners.ts";
import type { ManagedFields } from "../../helper/kube/types.ts";

const secret = {
  metadata: {
    name: "ecr-creds",
    labels: { "app.kubernetes.io/managed-by": "ecr-helper" },
    annotations: { "tekton.dev/docker-0": "https://host" },
  },
  apiVersion: "v1",
  kind: "Secret",
  type: "kubernetes.io/basic-auth",
  data: { username: "", password: "" },
} as const;
const wanted = fieldsOf(secret);

/** What the API server of Kubernetes 1.35 records for an apply of that secret. */
const fieldsV1 = {
  "f:data": { "f:password": {}, "f:username": {} },
  "f:metadata": {
    "f:annotations": { "f:tekton.dev/docker-0": {} },
    "f:labels": { "f:app.kubernetes.io/managed-by": {} },
    "f:ownerReferences": { 'k:{"uid":"the-uid"}': {} },
  },
  "f:type": {},
};
const applied: ManagedFields = { manager: "ecr-helper", operation: "Apply", time: "2026-11-23T10:00:00Z", fieldsV1 };
const by = (manager: string, time: string, operation = "Update"): ManagedFields => ({
  manager,
  operation,
  time,
  fieldsV1: { "f:data": { "f:password": {} } },
});

/** The helper's entry without one field, which another manager has changed or removed. */
function without(path: readonly string[]): ManagedFields {
  const copy = structuredClone(fieldsV1);
  const holder = path.slice(0, -1).reduce<object>((at, key) => (at as Record<string, object>)[key] ?? {}, copy);
  Reflect.deleteProperty(holder, path.at(-1) ?? "");
  return { ...applied, fieldsV1: copy };
}

const conflictingManager = (entries: readonly ManagedFields[], fields = wanted): string | undefined =>
  compareOwnership({ managedFields: entries }, fields).modifiedBy;

describe("the managed fields of a secret", () => {
  it("show no conflict while the helper owns all that it applied, whatever others added", () => {
    assert.equal(conflictingManager([applied], wanted), undefined);
    assert.equal(conflictingManager([by("kyverno", "2026-11-23T11:00:00Z"), applied], wanted), undefined);
  });

  for (const path of [
    ["f:data", "f:password"],
    ["f:data"],
    ["f:type"],
    ["f:metadata", "f:labels", "f:app.kubernetes.io/managed-by"],
    ["f:metadata", "f:annotations", "f:tekton.dev/docker-0"],
  ] as const) {
    it(`name the manager that wrote last when the helper lost ${path.join(" ")}`, () => {
      const others = [by("early", "2026-11-23T10:30:00Z"), by("kubectl-edit", "2026-11-23T11:00:00Z")];
      assert.equal(conflictingManager([...others, without(path)], wanted), "kubectl-edit");
    });
  }

  it("show a conflict when another program writes under the helper's name", () => {
    assert.equal(
      conflictingManager([by("ecr-helper", "2026-11-23T11:00:00Z"), without(["f:data"])], wanted),
      "ecr-helper",
    );
  });

  it("show a conflict even when its manager is unknown", () => {
    assert.equal(conflictingManager([], wanted), "an unknown field manager");
  });

  it("may be part of an apply and, where an update has changed them, part of that", () => {
    const updated = by("ecr-helper-refresh", "2026-11-23T11:00:00Z");
    assert.equal(conflictingManager([updated, without(["f:data", "f:password"])]), undefined);
    assert.equal(conflictingManager([updated, without(["f:data"])]), "an unknown field manager");
  });

  it("are all the helper's after a replacement", () => {
    const entry = managedFieldsOf(secret, [ownerReference("one", "the-uid")]);
    assert.deepEqual(entry, {
      manager: "ecr-helper-refresh",
      operation: "Update",
      apiVersion: "v1",
      fieldsType: "FieldsV1",
      fieldsV1,
    });
  });

  it("say whether others have written the object, and then what the helper wrote that is not wanted any more", () => {
    const fewer = fieldsOf({ ...secret, metadata: { ...secret.metadata, annotations: {} }, data: { username: "" } });
    const removal = {
      metadata: { labels: {}, annotations: { "tekton.dev/docker-0": null } },
      data: { password: null },
    };
    const other = by("kyverno", "2026-11-23T11:00:00Z");
    assert.deepEqual(compareOwnership({ managedFields: [applied] }, fewer), {
      modifiedBy: undefined,
      isShared: false,
      removal: "",
    });
    assert.deepEqual(compareOwnership({ managedFields: [applied, other] }, wanted), {
      modifiedBy: undefined,
      isShared: true,
      removal: "",
    });
    assert.equal(compareOwnership({ managedFields: [applied, other] }, fewer).removal, JSON.stringify(removal));
  });

  it("name no more to remove than fits into 4 KiB, whoever wrote them under the helper's name", () => {
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`f:key-${String(index)}`, {}]));
    const forged = { ...applied, fieldsV1: { ...fieldsV1, "f:data": { ...fieldsV1["f:data"], ...many } } };
    assert.equal(
      compareOwnership({ managedFields: [forged, by("kyverno", "2026-11-23T11:00:00Z")] }, wanted).removal,
      "",
    );
  });

  it("do not say whether others have written what nobody owns: labels, annotations, finalizers, or all of a reset object", () => {
    const { labels, annotations } = secret.metadata;
    const isShared = (metadata: object): boolean =>
      compareOwnership({ managedFields: [applied], ...metadata }, wanted).isShared;
    assert.equal(isShared({ labels, annotations, finalizers: [] }), false);
    for (const more of [
      { labels: { ...labels, team: "a" } },
      { annotations: { ...annotations, "example.com/id": "1" } },
      { finalizers: ["example.com/wait"] },
      { managedFields: [] },
    ])
      assert.ok(isShared({ labels, annotations, ...more }), JSON.stringify(more));
  });
});
