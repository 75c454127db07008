import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Store, versionOf, type CachedObject } from "../../helper/cache/store.ts";
import type { KubeObject } from "../../helper/kube/types.ts";

const object = (key: string, version: number, uid = `${key} of ${String(version)}`): KubeObject => ({
  metadata: { name: key, uid, resourceVersion: String(version) },
});
const judge = (object: KubeObject): CachedObject => ({ uid: object.metadata.uid, version: versionOf(object) });

function collection() {
  const [changed, broken]: [string[], string[]] = [[], []];
  const all = new Store<CachedObject>({
    keyOf: ({ name }) => name,
    project: (object) => (object.metadata.uid === "poison" ? assert.fail("cannot be judged") : judge(object)),
    onChange: (key) => changed.push(key),
    onInvalid: (key, error) => broken.push(`${key}: ${String(error)}`),
  });
  return { all, sink: all.sink(() => true), changed, broken };
}

describe("what was seen", () => {
  it("stays where an object comes that cannot be judged, and all others go on", () => {
    const { all, sink, changed, broken } = collection();
    sink.set(object("a", 5));
    for (const key of ["a", "b"]) sink.set(object(key, 6, "poison"));
    sink.set(object("c", 7));
    sink.listed(new Set(["a of 5", "poison", "c of 7"]), 8);
    assert.deepEqual([...all.keys()], ["a", "c"]);
    assert.equal(all.get("a")?.version, 5);
    assert.deepEqual(changed, ["a", "c"]);
    assert.deepEqual(
      broken.map((one) => one.slice(0, 2)),
      ["a:", "b:"],
    );
  });

  it("is the newest, and news of what is known already changes nothing", () => {
    const { all, sink, changed } = collection();
    sink.set(object("a", 5));
    sink.set(object("a", 5));
    sink.set(object("a", 4));
    assert.equal(all.get("a")?.version, 5);
    assert.deepEqual(changed, ["a"]);
  });

  it("is what a write was answered, before the watch has come so far", () => {
    const { all, sink, changed } = collection();
    sink.set(object("b", 5));
    all.recordWrite(object("a", 7));
    sink.set(object("a", 6));
    sink.set(object("a", 7));
    assert.equal(all.get("a")?.version, 7);
    assert.deepEqual(changed, ["b", "a"]);
  });

  it("is news only where it is another in more than its version", () => {
    const { all, sink, changed } = collection();
    for (const version of [5, 6]) sink.set(object("a", version, "uid"));
    assert.equal(all.get("a")?.version, 6);
    assert.deepEqual(changed, ["a"]);
  });

  it("is what a write made of it, until the watch tells more, and never instead of what the watch has told", () => {
    const { all, sink, changed } = collection();
    sink.set(object("a", 5));
    const before = all.get("a");
    assert.ok(before);
    const after = { ...before, uid: "a of 6" };
    all.assumeWritten("a", before, after);
    assert.equal(all.get("a"), after);
    sink.set(object("a", 6));
    assert.deepEqual(changed, ["a"], "the watch tells of that very write");
    all.assumeWritten("a", after, { ...after, uid: "late" });
    assert.deepEqual(all.get("a"), { uid: "a of 6", version: 6 });
    sink.delete(object("a", 7));
    all.assumeWritten("a", after, after);
    assert.equal(all.get("a"), undefined);
  });

  it("does not come back by an answer that the watch has overtaken", () => {
    const { all, sink } = collection();
    sink.set(object("a", 7));
    sink.delete(object("a", 8));
    all.recordWrite(object("a", 7));
    assert.equal(all.get("a"), undefined);
  });

  it("does not go by the end of what was there before it", () => {
    const { all, sink } = collection();
    all.recordWrite(object("a", 9));
    sink.delete(object("a", 8));
    assert.equal(all.get("a")?.version, 9);
  });

  it("is what a list holds, and what was written since", () => {
    const { all, sink, changed } = collection();
    sink.set(object("a", 1));
    sink.set(object("b", 2));
    all.recordWrite(object("c", 12));
    changed.length = 0;
    sink.set(object("b", 2));
    sink.listed(new Set(["b of 2"]), 10);
    assert.deepEqual([...all.keys()], ["b", "c"]);
    assert.deepEqual(changed, ["a"]);
  });

  it("is in the end what the cluster holds, however the watch and the answers overtake each other", () => {
    // A history of one object: written by the helper or by others, or deleted; the answers to the helper come any time.
    const history = fc.array(fc.record({ deed: fc.constantFrom("own", "other", "delete"), late: fc.nat(10) }));
    fc.assert(
      fc.property(history, (deeds) => {
        const { all, sink } = collection();
        const events = deeds.flatMap(({ deed, late }, index) => {
          const version = index + 1;
          const watched = {
            at: index * 2,
            run: (): void => (deed === "delete" ? sink.delete : sink.set)(object("a", version)),
          };
          let before: CachedObject | undefined;
          const begun = { at: index * 2 - 6, run: (): void => void (before = all.get("a")) };
          const write = (): void => {
            if (before === undefined) all.recordWrite(object("a", version));
            else all.assumeWritten("a", before, { ...before });
          };
          const answered = { at: index * 2 - 5 + late, run: write };
          return deed === "own" ? [begun, watched, answered] : [watched];
        });
        for (const { run } of events.sort((one, other) => one.at - other.at)) run();
        const last = deeds.at(-1);
        assert.equal(all.get("a")?.version, last === undefined || last.deed === "delete" ? undefined : deeds.length);
      }),
      { numRuns: 1_000 },
    );
  });
});
