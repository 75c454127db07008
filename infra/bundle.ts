// Bundles the helper into one file, build/helper/main.js, from which the image is built.
import { createHash } from "node:crypto";
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { buildSync, type BuildOptions } from "esbuild";
import type { ImageBase } from "./config/image.ts";

/**
 * The image's build context. Relative to the project's folder: absolute paths are inputs too, and would differ from
 * checkout to checkout.
 */
export const buildContext = "build/helper";

/** The image's Dockerfile, relative to the project's folder. */
export const dockerfile = "helper/Dockerfile";

const bundleFile = `${buildContext}/main.js`;
/** Outside the build context, so that the image contains nothing about this machine. */
const stampFile = "build/helper.stamp";
/**
 * npm's record of what node_modules contains; package-lock.json may be newer. Without it the bundle counts as outdated.
 */
const installedPackages = "node_modules/.package-lock.json";

/** esbuild's options for the helper's bundle. The bench and the tests bundle with them too. */
export const bundling: BuildOptions = {
  entryPoints: ["helper/main.ts"],
  outfile: bundleFile,
  bundle: true,
  minify: true,
  platform: "node",
  target: "node24",
  // Packages as ES modules, of which esbuild leaves out what is not used: a quarter of the file, and of the time to load it.
  mainFields: ["module", "main"],
  legalComments: "none",
  logLevel: "silent",
};

/**
 * Bundles the helper, unless the bundle is current, and returns the image's tag: 12 hexadecimal digits of a hash of
 * everything that goes into the image, so that other content never takes an existing tag. Throws a RunError if esbuild
 * fails.
 */
export function bundleHelper({ baseImage, platform }: ImageBase): string {
  try {
    if (!isBundleCurrent()) {
      buildSync(bundling);
      // The image takes the file's mode over, and with a umask such as 077 only root could read it.
      chmodSync(bundleFile, 0o644);
      writeFileSync(stampFile, bundleStamp(readFileSync(bundleFile)));
    }
  } catch (error) {
    // esbuild's error prints as a dump of its fields; its message has the file, the line and the problem.
    throw new pulumi.RunError(`The helper does not bundle. ${error instanceof Error ? error.message : String(error)}`);
  }
  const base = JSON.stringify([baseImage, platform]);
  return hashOf([base, readFileSync(dockerfile), readFileSync(bundleFile)]).slice(0, 12);
}

/**
 * Whether the bundle exists and matches its sources. Bundling takes a third of the program's time, so it is skipped if
 * so.
 */
const isBundleCurrent = (): boolean =>
  [bundleFile, stampFile, installedPackages].every(existsSync) &&
  readFileSync(stampFile, "utf8") === bundleStamp(readFileSync(bundleFile));

/** A hash of a bundle and of its inputs: the helper's sources, the installed packages and esbuild's options. */
function bundleStamp(bundle: Buffer): string {
  const files = readdirSync("helper", { encoding: "utf8", recursive: true }).filter((name) => name.endsWith(".ts"));
  const packages = existsSync(installedPackages) ? readFileSync(installedPackages) : "";
  return hashOf([
    JSON.stringify(bundling),
    packages,
    bundle,
    ...files.sort().flatMap((file) => [file, readFileSync(`helper/${file}`)]),
  ]);
}

function hashOf(parts: readonly (string | Buffer)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
}
