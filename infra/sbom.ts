// npm run sbom [FILE]: writes the SBOM of the helper's image, for scanners: the npm packages in its bundle, and its
// Node.js.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { cyclonedxEsbuildPlugin } from "@cyclonedx/cyclonedx-esbuild";
import { build } from "esbuild";
import { bundling } from "./bundle.ts";

interface Bom {
  readonly metadata: { readonly component: { readonly "bom-ref": string } };
  readonly components: object[];
  readonly dependencies: { readonly ref: string; readonly dependsOn?: string[] }[];
}

// Absolute, because the plugin resolves a relative path against the bundle's folder, which is the image's build
// context.
const file = resolve(process.argv[2] ?? "build/sbom.cdx.json");

mkdirSync(dirname(file), { recursive: true });
await build({
  ...bundling,
  write: false,
  plugins: [cyclonedxEsbuildPlugin({ outputFile: file, outputReproducible: true, validate: true })],
});

/** Node.js is no npm package: it comes with the base image, whose tag or digest decides the exact release. */
const version = /\d+/.exec(String(bundling.target))?.[0] ?? "";
const node = { type: "platform", name: "node", version, "bom-ref": "node", purl: `pkg:generic/node@${version}` };

const { components, dependencies, ...rest } = JSON.parse(readFileSync(file, "utf8")) as Bom;
const root = rest.metadata.component["bom-ref"];
const bom: Bom = {
  ...rest,
  components: [...components, node],
  dependencies: [
    ...dependencies.map((one) =>
      one.ref === root ? { ...one, dependsOn: [...(one.dependsOn ?? []), node["bom-ref"]] } : one,
    ),
    { ref: node["bom-ref"] },
  ],
};
writeFileSync(file, `${JSON.stringify(bom, undefined, 2)}\n`);
