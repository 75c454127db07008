// A stack whose Pulumi commands can be killed at exact requests: one proxy stands between the engine and AWS, another one
// between the engine and the API server.
import { spawn, type ChildProcess } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { cloudEnvironment } from "../local/cloud.ts";
import { preserveFiles, recordOutput } from "../local/audit-log.ts";
import { withCloudLock } from "../local/exclusive.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { assertCleanedUp } from "../local/cleanup-check.ts";
import { aws, backend, home, kubeconfig } from "../local/settings.ts";
import { stackExists } from "../local/pulumi/stack-commands.ts";
import { pulumiCommand } from "../local/pulumi/pulumi-home.ts";
import { forgetStack, saveOverrides, openStack, parseOverride, type Stack } from "../local/stack.ts";
import { killEngine } from "./engine-process.ts";
import type { Fault } from "../support/fault.ts";
import { Proxy, type InjectedFault } from "../support/proxy.ts";
import { commands, type PendingOperation, type PulumiResult } from "./pulumi-commands.ts";
import { kubeconfigOf } from "./proxied-kubeconfig.ts";
import type { RequestKind } from "./request-kinds.ts";

/** How long a command may take to reach the moment at which it is killed, in milliseconds: longer than on any busy machine. */
const killTimeoutMs = 120_000;

/** One stack; a test creates it with `make` and has to call `end`. */
export class ProxiedStack {
  readonly name: string;
  /** Variables that the stack's commands get on top of the cloud's. */
  environment: Readonly<Record<string, string>> = {};
  readonly #folder = mkdtempSync(join(tmpdir(), "ecr-helper-faults-"));
  readonly #proxies: Readonly<Record<RequestKind["api"], Proxy>>;
  readonly #own: readonly string[];
  #stack: Stack;

  private constructor(name: string, settings: readonly string[], proxies: Readonly<Record<RequestKind["api"], Proxy>>) {
    this.name = name;
    this.#proxies = proxies;
    const file = join(this.#folder, "kubeconfig");
    writeFileSync(file, kubeconfigOf(proxies.kubernetes), { mode: 0o600 });
    const named = ["repositoryName", "policyName", "userName", "roleName", "namespace"].map((key) => `${key}=${name}`);
    this.#own = [...named, `kubeconfig=${file}`, ...settings];
    this.#stack = this.configure();
  }

  /** Creates a stack whose resources all have its name. `settings` are KEY=VALUE, as after `-c`. */
  static async make(name: string, settings: readonly string[] = []): Promise<ProxiedStack> {
    const { server, ca } = readKubeconfig(kubeconfig);
    const stack = new ProxiedStack(name, settings, {
      aws: await Proxy.start({ upstream: aws.AWS_ENDPOINT_URL }),
      kubernetes: await Proxy.start({ upstream: server, ca: ca() }),
    });
    mkdirSync(backend, { recursive: true, mode: 0o700 });
    await stack.pulumi("stack", "init", "--no-select");
    return stack;
  }

  /** Replaces the settings that the last call gave, on top of those of `make`, for the next commands. */
  configure(...settings: readonly string[]): Stack {
    // Drops the settings of the last call.
    rmSync(join(home, "stacks", this.name, "overrides.json"), { force: true });
    this.#stack = openStack(this.name, [...this.#own, ...settings].map(parseOverride));
    // A command for another stack rewrites the configuration of every stack from the overrides on disk.
    saveOverrides(this.#stack);
    return this.#stack;
  }

  /** The stack's folder and configuration file. */
  get stack(): Stack {
    return this.#stack;
  }

  /** Runs `pulumi up` as `npm run up` does. */
  async up(): Promise<PulumiResult> {
    return this.try(...commands.up);
  }

  /** Runs `pulumi destroy` as `npm run down` does. */
  async destroy(): Promise<PulumiResult> {
    return this.try(...commands.destroy);
  }

  /** Runs a pulumi command on the stack and gives its output; rejects if the command fails. */
  async pulumi(...args: readonly string[]): Promise<string> {
    const { code, output } = await this.try(...args);
    if (code !== 0) throw new Error(`pulumi ${args.join(" ")} ended with ${String(code)}: ${output}`);
    return output;
  }

  /** Runs a pulumi command on the stack, which may fail. */
  async try(...args: readonly string[]): Promise<PulumiResult> {
    return this.#start(args).ended;
  }

  #start(args: readonly string[]): { child: ChildProcess; ended: Promise<PulumiResult> } {
    const since = performance.now();
    const { name, configFile, project, folder } = this.#stack;
    const config = /^(up|preview|destroy|refresh|import)$/.test(args[0] ?? "") ? ["--config-file", configFile] : [];
    const child = spawn(pulumiCommand, [...args, "--stack", name, ...config, "--non-interactive"], {
      // `stack init` writes a configuration file into the working directory, which must not be the checkout.
      cwd: args[0] === "stack" ? folder : project,
      env: { ...process.env, ...cloudEnvironment(), AWS_ENDPOINT_URL: this.#proxies.aws.url, ...this.environment },
      stdio: ["ignore", "pipe", "pipe"],
      // A process group of its own, so that all of it can be killed.
      detached: true,
    });
    const printed = [text(child.stdout), text(child.stderr)] as const;
    const ended = Promise.all([...printed, once(child, "exit")]).then(([stdout, stderr]) => {
      // An exported state contains secrets, encrypted with an empty passphrase: the audit log must not get it.
      recordOutput("commands", args[1] === "export" ? stderr : stdout + stderr);
      preserveFiles();
      return { code: child.exitCode, output: stdout + stderr, milliseconds: Math.round(performance.now() - since) };
    });
    return { child, ended };
  }

  /** Injects a fault into requests of one kind, into the first `times` of them if that is given. */
  injectFault({ api, matches }: RequestKind, fault: Fault, times?: number): InjectedFault {
    return this.#proxies[api].inject(matches, fault, times);
  }

  /** The operations that killed commands left in the state. */
  async pendingOperations(): Promise<readonly PendingOperation[]> {
    const { deployment } = JSON.parse(await this.pulumi("stack", "export")) as {
      deployment: {
        pending_operations?: Omit<PendingOperation, "isReplacement">[];
        resources?: { urn: string; pendingReplacement?: boolean }[];
      };
    };
    const { pending_operations: pending = [], resources = [] } = deployment;
    const replaced = new Set(resources.filter((one) => one.pendingReplacement === true).map(({ urn }) => urn));
    return pending.map((one) => ({ ...one, isReplacement: replaced.has(one.resource.urn) }));
  }

  /** Rejects if anything of the stack is left in AWS, the registry or the cluster. */
  async assertCleanedUp(): Promise<void> {
    Object.assign(process.env, cloudEnvironment());
    await assertCleanedUp(this.#stack, []);
  }

  /** Destroys the stack if it exists, and removes its files and proxies. */
  async end(): Promise<void> {
    try {
      if (stackExists(this.name)) await this.#takeDown();
      // Without the lock, a command for another stack could write the folder again.
      await withCloudLock(async () => {
        forgetStack(this.name);
        return Promise.resolve();
      });
    } finally {
      rmSync(this.#folder, { recursive: true });
      await Promise.all(Object.values(this.#proxies).map(async (proxy) => proxy.close()));
    }
  }

  async #takeDown(): Promise<void> {
    await this.try("cancel", "--yes");
    await this.pulumi(...commands.destroy);
    await this.pulumi("stack", "rm", "--yes");
  }

  /**
   * Runs a command and kills it once each of these requests was sent and none of them was answered. With `after` AWS or the
   * API server has carried them out, so that the state lacks them; with `before` they were never forwarded.
   */
  async killedAt(
    requests: readonly RequestKind[],
    args: readonly string[],
    moment: "before" | "after" = "after",
  ): Promise<PulumiResult> {
    const held = new EventEmitter();
    let remaining = requests.length;
    const hold: Fault = async (exchange) => {
      if (moment === "after") await buffer(await exchange.forward());
      if (--remaining === 0) held.emit("all");
    };
    const faults = requests.map((request) => this.injectFault(request, hold, 1));
    return this.killedWhen(once(held, "all"), args).finally(() => {
      for (const fault of faults) fault.lift();
    });
  }

  /** Runs a command and kills it, with all processes that it started, when `happened` resolves. Rejects if it ends before. */
  async killedWhen(happened: Promise<unknown>, args: readonly string[]): Promise<PulumiResult> {
    const { child, ended } = this.#start(args);
    const late = new AbortController();
    const timer = sleep(killTimeoutMs, "timed out", { signal: late.signal }).catch(() => "in time");
    const first = await Promise.race([happened.then(() => "happened"), ended.then(() => "ended"), timer]);
    late.abort();
    if (first !== "ended" && child.pid !== undefined) killEngine(child.pid);
    const killed = await ended;
    if (first !== "happened")
      throw new Error(`pulumi ${args.join(" ")} ${first} before it could be killed: ${killed.output}`);
    return killed;
  }
}
