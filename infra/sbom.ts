// The SBOM of the helper's image, for scanners: the npm packages in its bundle, and the Node that it runs on.
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

// From the project's folder: the plugin would take a relative path from the bundle's, which is the image's context.
const file = resolve(process.argv[2] ?? "build/sbom.cdx.json");

mkdirSync(dirname(file), { recursive: true });
await build({
  ...bundling,
  write: false,
  plugins: [cyclonedxEsbuildPlugin({ outputFile: file, outputReproducible: true, validate: true })],
});

/** No package of npm: it comes with the base image, whose tag or digest says which release of it. */
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
