import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { readConfig } from "../../helper/config/helper-config.ts";
import { ownerReference } from "../../helper/resources/owners.ts";
import {
  releaseOwnershipPatch,
  hasOwnEntries,
  listsOnlyOwnEntries,
  newServiceAccount,
  noEntries,
  ownersPatch,
  projectAccount,
  serviceAccountPatch,
  withEntries,
  type Entries,
  type NameReference,
  type ServiceAccount,
} from "../../helper/resources/service-account.ts";
import { exampleOwners, exampleUid } from "../support/owners.ts";
import { helperEnvironment } from "../support/helper-environment.ts";

const config = readConfig(helperEnvironment);
const owners = exampleOwners(config);
const wanted: Entries = { secrets: ["ecr-creds"], imagePullSecrets: ["ecr-creds-pull"] };
const annotation = "ecr-helper/ecr-helper-test";
const references = (...names: string[]): NameReference[] => names.map((name) => ({ name }));
const account = (
  secrets: NameReference[] | undefined,
  imagePullSecrets: NameReference[] | undefined,
  annotations: Record<string, string> = {},
): ServiceAccount => ({
  apiVersion: "v1",
  kind: "ServiceAccount",
  metadata: { name: "builder-sa", namespace: "team", resourceVersion: "7", annotations },
  ...(secrets && { secrets }),
  ...(imagePullSecrets && { imagePullSecrets }),
});

/** The result of a merge patch at the API server: https://www.rfc-editor.org/rfc/rfc7396 */
function merge<T extends object>(target: T, patch: object): T {
  const result = { ...target } as Record<string, unknown>;
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(result, key);
    else if (Array.isArray(value) || typeof value !== "object") result[key] = value;
    else result[key] = merge(result[key] ?? {}, value as object);
  }
  return result as T;
}
const after = (found: ServiceAccount, entries: Entries): ServiceAccount =>
  merge(found, serviceAccountPatch(config, found, entries) ?? {});

describe("a service account", () => {
  it("that lists both secrets is not patched, whoever added them", () => {
    const theirs = account(references("other", "ecr-creds"), references("ecr-creds-pull"));
    assert.equal(serviceAccountPatch(config, theirs, wanted), undefined);
  });

  it("is patched at the resourceVersion that was read, with an annotation of the added entries", () => {
    assert.deepEqual(serviceAccountPatch(config, account(references("other"), undefined), wanted), {
      metadata: { resourceVersion: "7", annotations: { [annotation]: JSON.stringify(wanted) } },
      secrets: references("other", "ecr-creds"),
      imagePullSecrets: references("ecr-creds-pull"),
    });
  });

  it("keeps an entry that existed before the helper, when the helper releases it", () => {
    const found = account(references("ecr-creds"), references("theirs"));
    const extended = after(found, wanted);
    assert.deepEqual(extended.imagePullSecrets, references("theirs", "ecr-creds-pull"));
    const released = after(extended, noEntries);
    assert.deepEqual([released.secrets, released.imagePullSecrets], [found.secrets, found.imagePullSecrets]);
    assert.equal(hasOwnEntries(config, released), false);
  });

  it("loses the entries that the helper added under another configuration, and no others", () => {
    const old = after(account(references("theirs"), undefined), {
      secrets: ["old-creds"],
      imagePullSecrets: ["ecr-creds-pull"],
    });
    const now = after(old, wanted);
    assert.deepEqual(now.secrets, references("theirs", "ecr-creds"));
    assert.deepEqual(now.imagePullSecrets, references("ecr-creds-pull"));
  });

  it("that the helper created is recognized, and so is one that others use too", () => {
    const made = newServiceAccount(config, "builder-sa", wanted, owners);
    assert.ok(hasOwnEntries(config, made) && listsOnlyOwnEntries(config, made));
    assert.equal(serviceAccountPatch(config, made, wanted), undefined);
    const shared = { ...made, secrets: [...(made.secrets ?? []), { name: "theirs" }] };
    assert.equal(listsOnlyOwnEntries(config, shared), false);
  });

  it("is released without the helper's labels and owner, and keeps those of others", () => {
    const made = newServiceAccount(config, "builder-sa", wanted, owners);
    const other = { kind: "ConfigMap", uid: "other" };
    made.metadata.ownerReferences = [...(made.metadata.ownerReferences ?? []), other];
    made.metadata.labels = { ...made.metadata.labels, team: "a" };
    const given = merge(made, releaseOwnershipPatch(config, made));
    assert.deepEqual([given.metadata.labels, given.metadata.ownerReferences], [{ team: "a" }, [other]]);
  });

  it("that the helper created gets its owners beside those of others, at the resourceVersion that was read", () => {
    const made = newServiceAccount(config, "builder-sa", wanted, owners);
    assert.equal(ownersPatch(config, made, owners), undefined);
    assert.equal(ownersPatch(config, made, owners.slice(1)), undefined, "Kubernetes takes the lost one away");
    const [other, dead] = [{ kind: "ConfigMap", uid: "other" }, ownerReference(config.owner, exampleUid(9))];
    made.metadata = { ...made.metadata, resourceVersion: "7", ownerReferences: [dead, other] };
    const metadata = { resourceVersion: "7", ownerReferences: [other, ...owners] };
    assert.deepEqual(ownersPatch(config, made, owners), { metadata });
    assert.deepEqual(ownersPatch(config, made, []), { metadata: { ...metadata, ownerReferences: [other] } });
  });

  it("of others gets no owner", () => {
    assert.equal(ownersPatch(config, after(account(references("theirs"), undefined), wanted), owners), undefined);
  });

  it("with an invalid annotation loses no entry", () => {
    for (const text of ["", "x", "[]", "{}"]) {
      const found = account(references("ecr-creds"), undefined, { [annotation]: text });
      assert.deepEqual(after(found, noEntries).secrets, references("ecr-creds"));
    }
  });
});

const lists = fc.option(fc.array(fc.record({ name: fc.constantFrom("ecr-creds", "ecr-creds-pull", "a", "b", "c") })), {
  nil: undefined,
});
const steps = fc.array(
  fc.record({
    secrets: fc.subarray(["ecr-creds", "ecr-creds-us-east-1"]),
    imagePullSecrets: fc.subarray(["ecr-creds-pull"]),
  }),
);

describe("a service account with any lists", () => {
  it("never loses, duplicates or moves an entry of someone else's", () => {
    fc.assert(
      fc.property(lists, lists, steps, (secrets, imagePullSecrets, wishes) => {
        const found = account(secrets, imagePullSecrets);
        const last = wishes.reduce(after, found);
        for (const list of ["secrets", "imagePullSecrets"] as const) {
          const [before, now, wish] = [found[list] ?? [], last[list] ?? [], wishes.at(-1)?.[list] ?? []];
          assert.deepEqual(now.slice(0, before.length), before);
          const missing = wish.filter((name) => !before.some((one) => one.name === name));
          const added = now.slice(before.length).map(({ name }) => name);
          assert.deepEqual(added.sort(), missing.sort());
        }
        const released = after(last, noEntries);
        assert.deepEqual(
          [released.secrets ?? [], released.imagePullSecrets ?? []],
          [secrets ?? [], imagePullSecrets ?? []],
        );
      }),
    );
  });

  it("has converged after one patch, and its projection shows the same", () => {
    fc.assert(
      fc.property(lists, lists, steps, (secrets, imagePullSecrets, wishes) => {
        const found = wishes.reduce(after, account(secrets, imagePullSecrets));
        const isConverged = serviceAccountPatch(config, found, wanted) === undefined;
        assert.equal(serviceAccountPatch(config, projectAccount(config, found), wanted) === undefined, isConverged);
        assert.equal(serviceAccountPatch(config, after(found, wanted), wanted), undefined);
      }),
    );
  });

  it("gets the same array back when nothing changes", () => {
    fc.assert(
      fc.property(lists, fc.array(fc.string()), (list = [], added) => {
        const extended = withEntries(list, added, []);
        assert.deepEqual(extended.slice(0, list.length), list);
        assert.equal(withEntries(extended, added, []), extended);
      }),
    );
  });
});
