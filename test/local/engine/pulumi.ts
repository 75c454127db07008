// Provisions by the pulumi command, with its state in the stack's own folder.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { cloudEnvironment } from "../cloud.ts";
import { LocalCloudError, run } from "../process.ts";
import type { Stack } from "../stack.ts";
import type { Engine } from "./engine.ts";

const backendOf = (stack: Stack): string => join(stack.folder, "pulumi-state");

function environment(stack: Stack): NodeJS.ProcessEnv {
  const backend = backendOf(stack);
  mkdirSync(backend, { recursive: true, mode: 0o700 });
  return {
    ...process.env,
    ...cloudEnvironment(),
    PULUMI_BACKEND_URL: `file://${backend}`,
    // The passphrase of Pulumi.dev.yaml's encryptionsalt. What it would keep is the test key's and the emulator's.
    PULUMI_CONFIG_PASSPHRASE: "",
    PULUMI_SKIP_UPDATE_CHECK: "true",
  };
}

/** Runs pulumi before the user's eyes. */
async function pulumi(stack: Stack, ...args: string[]): Promise<void> {
  const child = spawn("pulumi", [...args, "--non-interactive"], {
    cwd: stack.project,
    env: environment(stack),
    stdio: ["ignore", 2, 2],
  });
  // Ctrl-C reaches pulumi too, which ends in its own order; this process stays to tell how.
  const stay = (): void => undefined;
  process.on("SIGINT", stay);
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  process.off("SIGINT", stay);
  if (code === 0) return;
  throw new LocalCloudError(
    `pulumi ${args.join(" ")} ended with ${signal ?? `exit code ${String(code)}`}; it says above why. ` +
      "Remedy: mend that, then run the command again: it goes on from there.",
  );
}

/** Whether a pulumi command works here. npm's pulumi downloads the engine at its first use, so it is given some time. */
export const pulumiVersion = async (): Promise<string | undefined> =>
  run("pulumi", ["version"], { timeout: 120_000 }).then(
    (version) => version.trim(),
    () => undefined,
  );

export const pulumiCommand: Engine = {
  name: "pulumi",
  up: async (stack) => {
    const selection = ["--stack", stack.name];
    await pulumi(stack, "stack", "select", "--create", ...selection);
    // The configuration is Pulumi.dev.yaml's with the overrides; the checkout's own file is not written to.
    await pulumi(stack, "up", ...selection, "--yes", "--config-file", stack.configFile);
  },
  destroy: async (stack) => {
    // An up that failed before pulumi made the stack has left nothing that a pulumi command would have to destroy.
    if (!existsSync(join(backendOf(stack), ".pulumi"))) return;
    await pulumi(stack, "destroy", "--stack", stack.name, "--yes", "--config-file", stack.configFile);
  },
  outputs: async (stack) => {
    const shown = await run("pulumi", ["stack", "output", "--stack", stack.name, "--json", "--non-interactive"], {
      cwd: stack.project,
      env: environment(stack),
    });
    return JSON.parse(shown) as Record<string, unknown>;
  },
};
