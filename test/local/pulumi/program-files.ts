// Files of programs that may be replaced while they are in use.
import { chmod, copyFile, link, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { pulumiFolder } from "./pulumi-home.ts";

/** Writes an executable that runs a TypeScript file of this folder. Its paths are relative, so that the checkout may be moved. */
export async function writeProgram(path: string, file: string): Promise<void> {
  const [from, node] = [join(import.meta.dirname, file), join(pulumiFolder, "node")];
  const [target, interpreter] = [from, node].map((one) => `"$folder/${relative(dirname(path), one)}"`);
  const lines = ["#!/bin/sh", 'folder=$(dirname "$0")', `exec ${String(interpreter)} ${String(target)} "$@"`, ""];
  await replace(path, async (fresh) => {
    await writeFile(fresh, lines.join("\n"));
    await chmod(fresh, 0o755);
  });
}

/** Replaces a file in one step: another command may be using it, and must never find it missing or incomplete. */
async function replace(path: string, make: (fresh: string) => Promise<unknown>): Promise<void> {
  const fresh = `${path}.${String(process.pid)}`;
  await rm(fresh, { recursive: true, force: true });
  await make(fresh);
  await rename(fresh, path);
  // Where both are links of one file already, a rename does nothing: https://man7.org/linux/man-pages/man2/rename.2.html
  await rm(fresh, { force: true });
}

/** Creates a symbolic link, or points an existing one to another target. */
export const replaceLink = async (target: string, path: string): Promise<void> =>
  replace(path, async (fresh) => symlink(target, fresh));

/** Creates or replaces a hard link, or a copy where both paths are on different file systems. */
export const replaceHardLink = async (target: string, path: string): Promise<void> =>
  replace(path, async (fresh) =>
    link(target, fresh).catch(async (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
      await copyFile(target, fresh);
    }),
  );
