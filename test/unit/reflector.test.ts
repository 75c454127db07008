import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ResponseTooLargeError, KubeError } from "../../helper/kube/errors.ts";
import type { KubeRequest, Kube, KubeObject, KubeStream } from "../../helper/kube/types.ts";
import { fullPassInterval, reflect, silenceLimit } from "../../helper/kube/reflector.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const path = "/api/v1/secrets?fieldSelector=metadata.name%3Da";
const object = (name: string, version: number): KubeObject => ({
  metadata: { name, uid: `uid-${name}`, resourceVersion: String(version) },
});
const event = (type: string, of: object): string => JSON.stringify({ type, object: of });
const gone = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" };

/** The answer to one watch: its lines, then its end by the server, by an error, or never. */
interface Watch {
  readonly lines?: readonly string[];
  readonly end?: "closed" | "open" | Error;
}

/** Follows a fake collection. The lists and watches are answered in turn; the last one repeats. */
async function follow(
  lists: readonly (readonly KubeObject[][] | Error)[],
  watches: readonly Watch[],
  milliseconds: number,
  /** How many collections are followed in all. */
  followedCount = 4,
) {
  const clock = new VirtualClock("2026-11-23T00:00:00Z");
  const stop = new AbortController();
  const sunk: string[] = [];
  const calls: string[] = [];
  const limits: string[] = [];
  const waits: number[] = [];
  const next = <T>(all: readonly T[], count: number): T => all[Math.min(count, all.length - 1)] as T;
  let [listCount, watchCount, page] = [0, 0, 0];
  const queryOf = ({ path: called }: KubeRequest): URLSearchParams =>
    new URL(called, "https://kubernetes").searchParams;

  const kube: Kube = async <T>(call: KubeRequest) => {
    const pages = next(lists, listCount);
    const query = queryOf(call);
    assert.equal(query.get("fieldSelector"), "metadata.name=a");
    assert.match(call.accept ?? "", /as=PartialObjectMetadataList/);
    calls.push(`list${query.get("continue") ?? ""}`);
    limits.push(query.get("limit") ?? "");
    if (pages instanceof Error) {
      listCount++;
      throw pages;
    }
    const items = pages[page] ?? [];
    const more = page < pages.length - 1;
    const version = String(100 * (listCount + 1));
    page = more ? page + 1 : 0;
    if (!more) listCount++;
    return Promise.resolve({
      items,
      metadata: { resourceVersion: version, ...(more && { continue: `-${String(page)}` }) },
    } as T);
  };
  const stream: KubeStream = async function* (call) {
    const { lines = [], end = "open" } = next(watches, watchCount++);
    calls.push(`watch ${queryOf(call).get("resourceVersion") ?? ""}`);
    assert.equal(queryOf(call).get("allowWatchBookmarks"), "true");
    yield* lines;
    if (end instanceof Error) throw end;
    if (end === "closed") return;
    await new Promise((_, reject) => call.signal.addEventListener("abort", () => reject(call.signal.reason as Error)));
  };
  const followed = reflect(
    {
      path,
      metadataOnly: true,
      sink: {
        keeps: ({ metadata }) => metadata.name !== "unkept",
        set: ({ metadata }) => void sunk.push(`set ${metadata.name} ${metadata.resourceVersion}`),
        delete: ({ metadata }) => void sunk.push(`delete ${metadata.name}`),
        listed: (uids, version) => void sunk.push(`listed ${[...uids].join(" ")} at ${String(version)}`),
      },
      failed: (_error, _failures, wait) => void waits.push(wait),
    },
    { kube, stream, clock, random: () => 0, collectionCount: followedCount },
    stop.signal,
  );
  await clock.advance(milliseconds);
  stop.abort();
  await clock.advance(0);
  await followed;
  return { sunk, calls, waits, limits };
}

describe("a reflected collection", () => {
  it("is listed page by page, then watched from there", async () => {
    const { sunk, calls } = await follow(
      [[[object("a", 3)], [object("b", 4)]]],
      [
        {
          lines: [
            event("MODIFIED", object("a", 101)),
            event("DELETED", object("b", 102)),
            event("ADDED", object("c", 103)),
          ],
        },
      ],
      10,
    );
    assert.deepEqual(calls, ["list", "list-1", "watch 100"]);
    assert.deepEqual(sunk, ["set a 3", "set b 4", "listed uid-a uid-b at 100", "set a 101", "delete b", "set c 103"]);
  });

  it("is listed in smaller pages where a page of its objects would take too much memory", async () => {
    const tooLarge = new ResponseTooLargeError("more than 4 MiB");
    const pages = ["a", "b", "c"].map((name) => [object(name, 1)]);
    const { calls, waits, limits } = await follow([tooLarge, tooLarge, pages], [{}], 10);
    assert.deepEqual(calls, ["list", "list", "list", "list-1", "list-2", "watch 300"]);
    assert.deepEqual(limits, ["1000", "100", "10", "20", "40"], "which grow again where the objects are small");
    assert.deepEqual(waits, []);
  });

  it("costs no memory for objects that are not kept", async () => {
    const { sunk } = await follow([[[object("a", 1), object("unkept", 2)], [object("b", 3)]]], [{}], 10);
    assert.deepEqual(sunk, ["set a 1", "set unkept 2", "set b 3", "listed uid-a uid-b at 100"]);
  });

  it("is watched from its last version, of an event or a bookmark, when the server ends the watch", async () => {
    const { calls, waits } = await follow(
      [[[]]],
      [
        { lines: [event("ADDED", object("a", 105))], end: "closed" },
        { lines: [event("BOOKMARK", object("", 150))], end: "closed" },
        {},
      ],
      10,
    );
    assert.deepEqual(calls, ["list", "watch 100", "watch 105", "watch 150"]);
    assert.deepEqual(waits, []);
  });

  for (const [how, watch] of [
    ["an event", { lines: [event("ERROR", gone)] }],
    ["an answer", { end: new KubeError({ method: "GET", path }, 410, JSON.stringify(gone)) }],
  ] as const) {
    it(`is listed again at once when its version has expired, by ${how}, but not in a loop`, async () => {
      const { calls, waits, sunk } = await follow([[[object("a", 1)]], [[object("a", 1)]]], [watch, watch, {}], 600);
      assert.deepEqual(calls, ["list", "watch 100", "list", "watch 200", "list", "watch 300"].slice(0, calls.length));
      assert.equal(calls.length, 4, "the second time it waits");
      assert.deepEqual(waits, [0, 1_000]);
      assert.equal(sunk.filter((line) => line.startsWith("listed")).length, 2);
    });
  }

  const seven = <T>(one: T): T[] => Array.from({ length: 7 }, () => one);

  it("is listed again at once when its version has expired while its API server could not be reached", async () => {
    const expired = { end: new KubeError({ method: "GET", path }, 410, JSON.stringify(gone)) };
    const unreachable = seven<Watch>({ end: new Error("reset") });
    const { waits, calls } = await follow([[[object("a", 1)]]], [...unreachable, expired, { end: "open" }], 60_000);
    assert.deepEqual(waits, [500, 1_000, 1_500, 1_500, 1_500, 1_500, 1_500, 0]);
    assert.deepEqual(calls.slice(-2), ["list", "watch 200"]);
  });

  const refusal = (status: number): KubeError => new KubeError({ method: "GET", path }, status, "{}");

  for (const [failure, error] of [
    ["cannot be reached", new Error("reset")],
    ["answers 500", refusal(500)],
    ["answers 401", refusal(401)],
    ["answers 429", refusal(429)],
  ] as const) {
    it(`is retried within 3 s, however long its API server ${failure}`, async () => {
      const { waits, calls } = await follow([...seven(error), [[]]], [{}], 60_000);
      assert.deepEqual(waits, [500, 1_000, 1_500, 1_500, 1_500, 1_500, 1_500]);
      assert.equal(calls.at(-1), "watch 800");
    });
  }

  it("is retried less often where there are very many, so that together they do not overload the API server", async () => {
    const { waits } = await follow([...seven(new Error("reset")), [[]]], [{}], 60_000, 600);
    assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 6_000, 6_000, 6_000]);
  });

  it("backs off exponentially, up to half a minute, when it is refused", async () => {
    const { waits } = await follow([...seven(refusal(403)), [[]]], [{}], 60_000);
    assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  });

  it("is watched again when the watch ends within a line", async () => {
    const cut = await follow([[[]]], [{ lines: ['{"type":"ADD'], end: "closed" }, {}], 1_000);
    assert.deepEqual(cut.calls, ["list", "watch 100", "watch 100"]);
  });

  it("backs off to at most one watch a second when the server keeps closing it at once", async () => {
    const { calls, waits } = await follow([[[]]], [{ end: "closed" }], 60_000);
    assert.ok(calls.length <= 43, String(calls.length));
    assert.deepEqual(waits.slice(0, 4), [500, 1_000, 1_500, 1_500]);
  });

  it("is watched again from its last version when the watch is silent for a minute and a half", async () => {
    const { calls } = await follow([[[]]], [{ lines: [event("BOOKMARK", object("", 120))] }, {}], silenceLimit + 1_000);
    assert.deepEqual(calls, ["list", "watch 100", "watch 120"]);
  });

  it("is listed again after a watch was forbidden, as changes may have been missed", async () => {
    const refused = new KubeError({ method: "GET", path }, 403, "{}");
    const { calls } = await follow([[[]]], [{ end: refused }, {}], 1_000);
    assert.deepEqual(calls, ["list", "watch 100", "list", "watch 200"]);
  });

  it("is listed again every hour, in case a watch has missed something", async () => {
    const { calls } = await follow([[[]]], [{}], fullPassInterval + silenceLimit);
    assert.equal(calls.filter((call) => call === "list").length, 2);
  });
});
