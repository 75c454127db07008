// The helper's process as it is in the image: one file without types, and Node's flags.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { bundling } from "../infra/image.ts";

/** Bundles it into a folder, and gives what Node is given to run it. */
export function bundledHelper(folder: string): string[] {
  const bundle = join(folder, "helper.cjs");
  buildSync({ ...bundling, entryPoints: ["test/helper-main.ts"], outfile: bundle });
  const [, image = "[]"] = /^CMD (.*)$/m.exec(readFileSync("helper/Dockerfile", "utf8")) ?? [];
  return [...(JSON.parse(image) as string[]).slice(0, -1), bundle];
}
