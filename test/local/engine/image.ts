// The helper's image, built and pushed by the Docker engine: what the Docker provider's Image does.
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { docker, hasImage, push } from "../docker.ts";
import { LocalCloudError } from "../process.ts";
import type { Handler } from "./handler.ts";
import type { Properties } from "./state.ts";

interface ImageInputs {
  imageName: string;
  build: { context: string; dockerfile: string; platform: string; args: Record<string, string> };
  registry: { server: string; username: string; password: string };
}

const typed = (inputs: Properties): ImageInputs => inputs as unknown as ImageInputs;

async function contentHash({ context, dockerfile }: ImageInputs["build"]): Promise<string> {
  const entries = await readdir(context, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const hash = createHash("sha256");
  for (const file of [dockerfile, ...files.sort()]) hash.update(`${file}\0`).update(await readFile(file));
  return hash.digest("hex");
}

async function buildAndPush(inputs: Properties): Promise<Properties> {
  const { imageName, build, registry } = typed(inputs);
  const args = Object.entries(build.args).flatMap(([key, value]) => ["--build-arg", `${key}=${value}`]);
  const options = ["--file", build.dockerfile, "--tag", imageName, ...args];
  await docker(["build", "--quiet", ...options, build.context]).catch((cause: unknown) => {
    throw new LocalCloudError(`The helper's image does not build: ${cause instanceof Error ? cause.message : ""}`, {
      cause,
    });
  });
  await push(imageName, registry.server, registry.username, registry.password);
  const digests = JSON.parse(
    await docker(["image", "inspect", "--format", "{{json .RepoDigests}}", imageName]),
  ) as string[];
  const repository = imageName.slice(0, imageName.lastIndexOf(":"));
  const repoDigest = digests.find((digest) => digest.startsWith(`${repository}@`));
  if (repoDigest === undefined) throw new LocalCloudError(`Docker names no digest of ${imageName} after its push.`);
  return { ...inputs, repoDigest };
}

/**
 * Whether the registry still has the image, asked with this run's login and by its tag: what a deleted repository had, the
 * emulator still gives by digest when the repository is made anew.
 */
async function isPushed({ imageName, registry }: ImageInputs, repoDigest: string): Promise<boolean> {
  const [repository = "", tag = ""] = imageName.slice(registry.server.length + 1).split(":");
  const address = `http://${registry.server}/v2/${repository}/manifests/${tag}`;
  const basic = Buffer.from(`${registry.username}:${registry.password}`).toString("base64");
  const response = await fetch(address, { method: "HEAD", headers: { authorization: `Basic ${basic}` } });
  return response.ok && response.headers.get("docker-content-digest") === repoDigest.split("@")[1];
}

async function remove(imageName: string): Promise<void> {
  if (await hasImage(imageName)) await docker(["image", "rm", imageName]);
}

export const imageHandler: Handler = {
  complete: async (inputs) => ({ ...inputs, contentHash: await contentHash(typed(inputs).build) }),
  // Not the password: every run has another.
  comparable: (inputs) => {
    const { imageName, build, registry } = typed(inputs);
    return { imageName, build, server: registry.server, contentHash: inputs["contentHash"] };
  },
  identify: (inputs) => typed(inputs).imageName,
  create: async (inputs) => ({ id: typed(inputs).imageName, outputs: await buildAndPush(inputs) }),
  exists: async ({ inputs: old, outputs }, { registry }) =>
    isPushed({ ...typed(old), registry: registry as ImageInputs["registry"] }, String(outputs["repoDigest"])),
  update: async (_, inputs) => ({ outputs: await buildAndPush(inputs) }),
  // The registry's copy goes with the repository, as with the real provider; the engine's own name for it goes here.
  remove: async ({ id }) => remove(id),
  undo: async ({ inputs }) => remove(typed(inputs).imageName),
};
