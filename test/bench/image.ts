// What the helper's image costs: to bundle, to build, to store and to pull.
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";
import { bundling } from "../../infra/bundle.ts";
import { docker } from "../local/docker.ts";

const megabytes = (bytes: number): number => Number((bytes / 1e6).toFixed(2));

/** Measures the image with the local cloud's Docker and base image. Sizes in millions of bytes, times in seconds. */
export async function imageFigures(base = "ecr-helper-base:24"): Promise<Record<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), "ecr-helper-image-"));
  const name = `ecr-helper-bench:${randomBytes(3).toString("hex")}`;
  const size = async (image: string): Promise<number> =>
    Number(await docker(["image", "inspect", "--format", "{{.Size}}", image]));
  try {
    const start = performance.now();
    const bundle = join(folder, "main.js");
    buildSync({ ...bundling, outfile: bundle });
    const bundled = performance.now();
    const options = ["--no-cache", "--quiet", "--file", "helper/Dockerfile", "--build-arg", `BASE_IMAGE=${base}`];
    await docker(["build", ...options, "--tag", name, folder]);
    const built = performance.now();
    const [whole, below] = [await size(name), await size(base)];
    await docker(["image", "rm", name]);
    return {
      "bundling, s": Number(((bundled - start) / 1000).toFixed(2)),
      "building the image, s": Number(((built - bundled) / 1000).toFixed(2)),
      "the image, MB": megabytes(whole),
      "its own layer, MB": megabytes(whole - below),
      "its own layer as it is pulled, MB": megabytes(gzipSync(await readFile(bundle)).length),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}
