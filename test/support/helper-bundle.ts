// The helper's process as it is in the image: one file without types, and Node's flags.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { bundling } from "../../infra/bundle.ts";

const dockerfile = readFileSync("helper/Dockerfile", "utf8");

/** The image's own environment. */
export const imageEnvironment: Readonly<Record<string, string>> = Object.fromEntries(
  [...dockerfile.matchAll(/^ENV (\w+)=(\S+)$/gm)].map(([, name = "", value = ""]) => [name, value]),
);

/** Bundles the helper into a folder, and returns Node's arguments that run it. */
export function bundleHelper(folder: string): string[] {
  const bundle = join(folder, "helper.cjs");
  buildSync({ ...bundling, entryPoints: ["test/support/helper-main.ts"], outfile: bundle });
  const [, image = "[]"] = /^CMD (.*)$/m.exec(dockerfile) ?? [];
  return [...(JSON.parse(image) as string[]).slice(0, -1), bundle];
}
