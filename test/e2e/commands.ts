// The commands of package.json, run as npm does, in a checkout of their own.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { keepFiles, recordSaid } from "../local/evidence.ts";

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
  seconds: number;
}

export interface Checkout {
  readonly folder: string;
  /** Starts a command, for the given stack unless it names another. */
  readonly start: (...args: string[]) => { child: ChildProcess; ended: Promise<Ended> };
  readonly command: (...args: string[]) => Promise<Ended>;
  readonly remove: () => Promise<void>;
}

/** Makes a checkout: its source files can be changed, and it has to find the cloud that another one started. */
export async function makeCheckout(stack: string): Promise<Checkout> {
  const folder = await mkdtemp(join(tmpdir(), "ecr-helper-e2e-"));
  for (const part of ["infra", "helper", "test", "package.json", "Pulumi.yaml", "Pulumi.dev.yaml"]) {
    await cp(join(import.meta.dirname, "../..", part), join(folder, part), { recursive: true });
  }
  await symlink(join(import.meta.dirname, "../../node_modules"), join(folder, "node_modules"));
  const start: Checkout["start"] = (...args) => {
    const since = performance.now();
    keepFiles();
    const named = args[0] === "env" || args.includes("--stack");
    const cli = ["test/local/cli.ts", ...args, ...(named ? [] : ["--stack", stack])];
    const child = spawn(process.execPath, cli, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]).then(
      ([stdout, stderr]) => {
        // Its settings are the test's own, and may be a secret on purpose.
        recordSaid("commands", [args[0], stdout, stderr].join("\n"));
        keepFiles();
        return { code: child.exitCode, stdout, stderr, seconds: (performance.now() - since) / 1000 };
      },
    );
    return { child, ended };
  };
  const command: Checkout["command"] = async (...args) => start(...args).ended;
  return { folder, start, command, remove: async () => rm(folder, { recursive: true }) };
}

/** What a command said that it changed, in its order: `created AccessKey ecr-helper-2`. */
export const changesOf = ({ stderr }: Pick<Ended, "stderr">): string[] =>
  [...stderr.matchAll(/(created|updated|replaced|deleted) +\S+:(\S+ \S+)/g)].map(
    ([, what, resource]) => `${String(what)} ${String(resource)}`,
  );
