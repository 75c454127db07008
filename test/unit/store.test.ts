import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Store, versionOf, type CachedObject } from "../../helper/cache/store.ts";
import type { KubeObject } from "../../helper/kube/types.ts";

const object = (key: string, version: number, uid = `${key} of ${String(version)}`): KubeObject => ({
  metadata: { name: key, uid, resourceVersion: String(version) },
});
const project = (object: KubeObject): CachedObject => ({ uid: object.metadata.uid, version: versionOf(object) });

/** A store that records its callbacks. It cannot project objects with the uid "invalid". */
function createStore() {
  const [changed, invalid]: [string[], string[]] = [[], []];
  const store = new Store<CachedObject>({
    keyOf: ({ name }) => name,
    project: (object) => {
      if (object.metadata.uid === "invalid") assert.fail("cannot be projected");
      return object.metadata.uid === "unkept" ? undefined : project(object);
    },
    onChange: (key) => changed.push(key),
    onInvalid: (key, error) => invalid.push(`${key}: ${String(error)}`),
  });
  return { store, sink: store.sink(() => true), changed, invalid };
}

describe("the store", () => {
  it("keeps the last valid state of an object that becomes invalid, and all other objects", () => {
    const { store, sink, changed, invalid } = createStore();
    sink.set(object("a", 5));
    for (const key of ["a", "b"]) sink.set(object(key, 6, "invalid"));
    sink.set(object("c", 7));
    sink.listed(new Set(["a of 5", "invalid", "c of 7"]), 8);
    assert.deepEqual([...store.keys()], ["a", "c"]);
    assert.equal(store.get("a")?.version, 5);
    assert.deepEqual(changed, ["a", "c"]);
    assert.deepEqual(
      invalid.map((one) => one.slice(0, 2)),
      ["a:", "b:"],
    );
  });

  it("keeps the newest version, and reports no change for a version that it has already", () => {
    const { store, sink, changed } = createStore();
    sink.set(object("a", 5));
    sink.set(object("a", 5));
    sink.set(object("a", 4));
    assert.equal(store.get("a")?.version, 5);
    assert.deepEqual(changed, ["a"]);
  });

  it("takes the answer to a write before the watch delivers it", () => {
    const { store, sink, changed } = createStore();
    sink.set(object("b", 5));
    store.recordWrite(object("a", 7));
    sink.set(object("a", 6));
    sink.set(object("a", 7));
    assert.equal(store.get("a")?.version, 7);
    assert.deepEqual(changed, ["b", "a"]);
  });

  it("keeps nothing of an object that is projected to nothing, and drops what it had of it", () => {
    const { store, sink, changed } = createStore();
    for (const [index, uid] of ["a", "unkept", "unkept", "a"].entries()) {
      sink.set(object("a", index, uid));
      assert.equal(sink.keeps?.(object("a", index, uid)), uid === "a");
      assert.equal(store.get("a") !== undefined, uid === "a");
    }
    assert.deepEqual(changed, ["a", "a", "a"], "at its first, its disappearance and its return");
  });

  it("reports a change only if more than the version is different", () => {
    const { store, sink, changed } = createStore();
    for (const version of [5, 6]) sink.set(object("a", version, "uid"));
    assert.equal(store.get("a")?.version, 6);
    assert.deepEqual(changed, ["a"]);
  });

  it("assumes the result of a write until the watch delivers more, and never over what the watch has delivered", () => {
    const { store, sink, changed } = createStore();
    sink.set(object("a", 5));
    const before = store.get("a");
    assert.ok(before);
    const after = { ...before, uid: "a of 6" };
    store.assumeWritten("a", before, after);
    assert.equal(store.get("a"), after);
    sink.set(object("a", 6));
    assert.deepEqual(changed, ["a"], "the watch delivers that very write");
    store.assumeWritten("a", after, { ...after, uid: "late" });
    assert.deepEqual(store.get("a"), { uid: "a of 6", version: 6 });
    sink.delete(object("a", 7));
    store.assumeWritten("a", after, after);
    assert.equal(store.get("a"), undefined);
  });

  it("does not restore a deleted object from an answer that the watch has overtaken", () => {
    const { store, sink } = createStore();
    sink.set(object("a", 7));
    sink.delete(object("a", 8));
    store.recordWrite(object("a", 7));
    assert.equal(store.get("a"), undefined);
  });

  it("does not delete an object because its predecessor was deleted", () => {
    const { store, sink } = createStore();
    store.recordWrite(object("a", 9));
    sink.delete(object("a", 8));
    assert.equal(store.get("a")?.version, 9);
  });

  it("keeps after a list what the list contains and what was written since", () => {
    const { store, sink, changed } = createStore();
    sink.set(object("a", 1));
    sink.set(object("b", 2));
    store.recordWrite(object("c", 12));
    changed.length = 0;
    sink.set(object("b", 2));
    sink.listed(new Set(["b of 2"]), 10);
    assert.deepEqual([...store.keys()], ["b", "c"]);
    assert.deepEqual(changed, ["a"]);
  });

  it("converges to the state of the cluster, however the watch and the answers overtake each other", () => {
    // The history of one object: it is written by the helper or by others, or deleted. The answers to the helper arrive at any time.
    const history = fc.array(fc.record({ operation: fc.constantFrom("own", "other", "delete"), late: fc.nat(10) }));
    fc.assert(
      fc.property(history, (operations) => {
        const { store, sink } = createStore();
        const events = operations.flatMap(({ operation, late }, index) => {
          const version = index + 1;
          const watched = {
            at: index * 2,
            run: (): void => (operation === "delete" ? sink.delete : sink.set)(object("a", version)),
          };
          let before: CachedObject | undefined;
          const begun = { at: index * 2 - 6, run: (): void => void (before = store.get("a")) };
          const write = (): void => {
            if (before === undefined) store.recordWrite(object("a", version));
            else store.assumeWritten("a", before, { ...before });
          };
          const answered = { at: index * 2 - 5 + late, run: write };
          return operation === "own" ? [begun, watched, answered] : [watched];
        });
        for (const { run } of events.sort((one, other) => one.at - other.at)) run();
        const last = operations.at(-1);
        assert.equal(
          store.get("a")?.version,
          last === undefined || last.operation === "delete" ? undefined : operations.length,
        );
      }),
      { numRuns: 1_000 },
    );
  });
});
