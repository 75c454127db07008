// A base image for the helper that no other stack has, so that no other image on the node has all its layers.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { docker } from "../local/docker.ts";

/** Makes a base image of this name, with a layer of its own, in the local Docker engine. */
export async function makeBaseImage(name: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "ecr-helper-base-"));
  await writeFile(join(folder, "name"), name);
  await writeFile(join(folder, "Dockerfile"), "FROM ecr-helper-base:24\nCOPY name /name\n");
  await docker(["build", "--quiet", "--tag", name, folder]);
  await rm(folder, { recursive: true });
}
