// Runs the commands of package.json as npm does, in a copy of the checkout.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { preserveFiles, recordOutput } from "../local/audit-log.ts";
import { home } from "../local/settings.ts";

/** How a command ended; `code` is null if a signal ended it. */
export interface CommandResult {
  code: number | null;
  stdout: string;
  stderr: string;
  seconds: number;
}

/** A copy of the checkout, for one stack. */
export interface Checkout {
  readonly folder: string;
  /** Starts a command, for the checkout's stack unless it names another, in a process group of its own. */
  readonly start: (...args: string[]) => { child: ChildProcess; ended: Promise<CommandResult> };
  /** Runs such a command; does not reject if it fails. */
  readonly command: (...args: string[]) => Promise<CommandResult>;
  /** Runs a shell script in the checkout after `eval "$(npm run -s env)"`, with this stack selected instead of dev. */
  readonly runShell: (script: string) => Promise<CommandResult>;
  readonly remove: () => Promise<void>;
}

/** Copies the checkout, so that a test can change its source files. It uses the cloud that the original started. */
export async function makeCheckout(stack: string): Promise<Checkout> {
  const folder = await mkdtemp(join(tmpdir(), "ecr-helper-e2e-"));
  for (const part of ["infra", "helper", "test", "package.json", "Pulumi.yaml", "Pulumi.dev.yaml"]) {
    await cp(join(import.meta.dirname, "../..", part), join(folder, part), { recursive: true });
  }
  await symlink(join(import.meta.dirname, "../../node_modules"), join(folder, "node_modules"));
  const run = (program: string, args: readonly string[], commandLine: string): ReturnType<Checkout["start"]> => {
    const since = performance.now();
    preserveFiles();
    // A process group of its own, for signals such as that of Ctrl-C.
    const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"], detached: true });
    const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]).then(
      ([stdout, stderr]) => {
        // Only the name of a command: its settings may contain a secret on purpose.
        recordOutput("commands", [commandLine, stdout, stderr].join("\n"));
        preserveFiles();
        return { code: child.exitCode, stdout, stderr, seconds: (performance.now() - since) / 1000 };
      },
    );
    return { child, ended };
  };
  const start: Checkout["start"] = (...args) => {
    const named = args[0] === "env" || args.includes("--stack");
    const cli = ["test/local/cli.ts", ...args, ...(named ? [] : ["--stack", stack])];
    return run(process.execPath, cli, args[0] ?? "");
  };
  const command: Checkout["command"] = async (...args) => start(...args).ended;
  const byHand: Checkout["runShell"] = async (script) => {
    const file = join(home, "stacks", stack, `Pulumi.${stack}.yaml`);
    const own = `export PULUMI_STACK=${stack} PULUMI_OPTION_CONFIG_FILE=${file}`;
    const env = `eval "$('${process.execPath}' test/local/cli.ts env)"`;
    return run("sh", ["-ec", `${env}\n${own}\n${script}`], script).ended;
  };
  return { folder, start, command, runShell: byHand, remove: async () => rm(folder, { recursive: true }) };
}

/**
 * The changes that Pulumi's engine printed, in order: `created AccessKey ecr-helper-2`. A replacement has three steps: `created
 * replacement ...`, `replaced ...`, `deleted original ...`. Components are left out. Without a terminal, two threads write the
 * rows and the `@ updating....`: a row may stand after the dots.
 */
export const changesOf = ({ stderr }: Pick<CommandResult, "stderr">): string[] =>
  [
    ...stderr.matchAll(
      /^(?:@ updating\.+)? *[+~-]{1,2} +(\S+):(\S+) (\S+) (created replacement|deleted original|created|updated|replaced|deleted)\b/gm,
    ),
  ]
    .filter(([, type]) => !/^(ecr-helper:|pulumi:pulumi$)/.test(type ?? ""))
    .map(([, , type, name, what]) => `${String(what)} ${String(type)} ${String(name)}`);

/** Matches the engine's output if it changed nothing. */
export const noChanges = /Resources:\n +\d+ unchanged\n(?! +\d)/;
