// The local cloud runs as root only what was reviewed: a hash pins everything that comes from a registry.
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";

const project = join(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(join(project, file), "utf8");
const files = (pattern: string): string[] => globSync(pattern, { cwd: project });

describe("what is installed", () => {
  it("has a hash of each Python package, and names no registry", () => {
    const all = files("test/local/python/*.txt");
    assert.equal(all.length, 2);
    for (const file of all) {
      const text = read(file);
      const entries = text.replaceAll(/#.*$/gm, "").replaceAll("\\\n", " ").split("\n");
      const requirements = entries.filter((entry) => entry.trim() !== "");
      assert.ok(requirements.length >= 10);
      for (const one of requirements) assert.match(one, /^[\w.-]+==[\w.]+( +--hash=sha256:[0-9a-f]{64})+ *$/);
      const [, wanted = ""] = /^(\S+)$/m.exec(read(file.replace(/txt$/, "in"))) ?? [];
      assert.ok(text.includes(`\n${wanted} \\`), `${file} is made from what its .in wants`);
    }
  });

  it("has a hash of each Go module", () => {
    const all = files("test/local/**/go.mod");
    assert.equal(all.length, 3);
    for (const file of all) {
      const text = read(file);
      // Of one that another takes the place of, that other one's.
      const places = new Map(
        [...text.matchAll(/^(?:replace )?\s*(\S+) => (\S+ \S+)$/gm)].map(([, from, to]) => [from, to]),
      );
      const modules = [...text.matchAll(/^\s+(\S+\.\S+) (v\S+)/gm)].map(
        ([, name, version]) => places.get(name) ?? `${String(name)} ${String(version)}`,
      );
      const sums = join(project, dirname(file), "go.sum");
      assert.ok(existsSync(sums) && modules.length > 20);
      const known = new Set(
        readFileSync(sums, "utf8")
          .split("\n")
          .map((line) => line.split(" ").slice(0, 2).join(" ")),
      );
      assert.deepEqual(
        modules.filter((one) => !known.has(`${one}/go.mod`)),
        [],
      );
    }
  });

  it("has a hash of each npm package", () => {
    const { packages } = JSON.parse(read("package-lock.json")) as { packages: Record<string, { integrity?: string }> };
    const all = Object.entries(packages).filter(([path]) => path !== "");
    assert.ok(all.length > 100);
    assert.deepEqual(
      all.filter(([, { integrity = "" }]) => !integrity.startsWith("sha512-")).map(([path]) => path),
      [],
    );
  });
});
