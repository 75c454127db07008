import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { LogStream } from "../../helper/runtime/log-stream.ts";

describe("the log stream", () => {
  /** A log stream into a pipe that buffers 8 characters, with room for 16 more. */
  function narrow() {
    const pipe = new PassThrough({ highWaterMark: 4, encoding: "utf8" });
    const losses: number[] = [];
    const output = new LogStream(pipe, 16);
    output.onLoss((lines) => losses.push(lines));
    return { pipe, output, losses };
  }

  it("writes the lines of some milliseconds at once", async () => {
    const { pipe, output, losses } = narrow();
    output.write("a\n");
    output.write("b\nc\n");
    await output.flushed(10);
    assert.deepEqual([pipe.read(), losses], ["a\nb\nc\n", []]);
  });

  it("drops whole lines that nobody reads, and reports how many as soon as there is room", async () => {
    const { pipe, output, losses } = narrow();
    for (let line = 0; line < 100; line++) output.write(`${String(line)}\n`);
    output.write("two\nmore\n");
    assert.ok(pipe.writableLength <= 16, String(pipe.writableLength));
    assert.deepEqual(losses, []);
    assert.equal(await output.flushed(10), false);
    const drained = once(pipe, "drain");
    const read: string[] = [];
    pipe.on("data", (text: string) => read.push(text));
    await drained;
    output.write("after\n");
    await output.flushed();
    const lines = read.join("").split("\n");
    assert.deepEqual(lines.slice(-2), ["after", ""]);
    const kept = lines.slice(0, -2);
    assert.deepEqual(
      kept,
      Array.from({ length: kept.length }, (_, line) => String(line)),
    );
    assert.deepEqual(losses, [102 - kept.length]);
  });

  it("is flushed when everything is read, and does not wait long when nothing is", async () => {
    const { pipe, output } = narrow();
    output.write("0123456789abcdef");
    assert.equal(await output.flushed(10), false);
    pipe.resume();
    assert.equal(await output.flushed(60_000), true);
  });
});
