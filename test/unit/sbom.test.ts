import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { after, describe, it } from "node:test";
import { build } from "esbuild";
import { bundling } from "../../infra/bundle.ts";

interface Component {
  type: string;
  group?: string;
  name: string;
  version: string;
  "bom-ref": string;
  purl: string;
}

interface Bom {
  bomFormat: string;
  specVersion: string;
  version: number;
  metadata: { component: Component };
  components: Component[];
  dependencies: { ref: string; dependsOn?: string[] }[];
}

const folder = mkdtempSync(join(tmpdir(), "ecr-helper-sbom-"));
after(() => rmSync(folder, { recursive: true }));
const makeBom = (name: string): string => {
  const file = join(folder, name);
  execFileSync(process.execPath, ["infra/sbom.ts", relative(process.cwd(), file)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return readFileSync(file, "utf8");
};
const text = makeBom("one.json");
const bom = JSON.parse(text) as Bom;

/** `NAME@VERSION` of the package that contains a file. */
function packageOf(file: string): string {
  let at = dirname(file);
  for (;;) {
    const manifest = join(at, "package.json");
    const { name, version } = (existsSync(manifest) ? JSON.parse(readFileSync(manifest, "utf8")) : {}) as {
      name?: string;
      version?: string;
    };
    if (name !== undefined && version !== undefined) return `${name}@${version}`;
    at = dirname(at);
  }
}

describe("the SBOM", () => {
  it("lists the packages in the helper's bundle and Node.js, and nothing else", async () => {
    const { metafile } = await build({ ...bundling, write: false, metafile: true });
    // Of a package that is loaded, but not used, nothing is in the bundle.
    const inputs = Object.values(metafile.outputs).flatMap((output) => Object.entries(output.inputs));
    const bundled = inputs
      .filter(([file, { bytesInOutput }]) => file.includes("node_modules/") && bytesInOutput > 0)
      .map(([file]) => file);
    const named = bom.components.map(
      ({ group, name, version }) => `${group === undefined ? "" : `${group}/`}${name}@${version}`,
    );
    const expected = [...new Set(bundled.map(packageOf)), `node@${String(bundling.target).replace("node", "")}`];
    assert.ok(expected.length > 10);
    assert.deepEqual(named.sort(), expected.sort());
    for (const direct of ["@aws-sdk/client-ecr", "prom-client"]) {
      assert.ok(
        named.some((one) => one.startsWith(`${direct}@`)),
        direct,
      );
    }
  });

  it("is CycloneDX: each component once, by its package URL, and dependencies only between listed components", () => {
    assert.deepEqual([bom.bomFormat, bom.specVersion, bom.version], ["CycloneDX", "1.6", 1]);
    assert.equal(bom.metadata.component.name, "ecr-helper");
    const own = bom.metadata.component["bom-ref"];
    const refs = [own, ...bom.components.map((one) => one["bom-ref"])];
    assert.equal(new Set(refs).size, refs.length);
    for (const { type, name, purl } of bom.components) {
      assert.ok(["library", "platform"].includes(type), name);
      assert.match(purl, /^pkg:(npm|generic)\/[^@]+@\d[^@]*$/);
    }
    assert.deepEqual(bom.dependencies.map(({ ref }) => ref).sort(), refs.sort());
    for (const { dependsOn = [] } of bom.dependencies) for (const ref of dependsOn) assert.ok(refs.includes(ref), ref);
    assert.ok(bom.dependencies.find(({ ref }) => ref === own)?.dependsOn?.includes("node"));
  });

  it("is reproducible, and contains no path of the machine that created it", () => {
    assert.equal(makeBom("two.json"), text);
    assert.ok(!text.includes(process.cwd()) && !text.includes(folder));
  });
});
