// A stack of the real engine that is killed at exact requests: a proxy stands between the engine and AWS, another one between
// it and the API server.
import { spawn, type ChildProcess } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { parse, stringify } from "yaml";
import { askedFor } from "../local/aws-requests.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { keepFiles, recordSaid } from "../local/audit-log.ts";
import { exclusively } from "../local/exclusive.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { proveNothingIsLeft } from "../local/cleanup-check.ts";
import { aws, backend, home, kubeconfig } from "../local/settings.ts";
import { isMade } from "../local/pulumi/stack-commands.ts";
import { pulumiCommand } from "../local/pulumi/toolchain.ts";
import { forgetStack, keepOverrides, openStack, parseOverride, type Stack } from "../local/stack.ts";
import { killEngine } from "./engine-process.ts";
import type { Fault } from "../support/fault.ts";
import { Proxy, type Matches, type Outage } from "../support/proxy.ts";

export interface Ended {
  /** Null where it was killed. */
  readonly code: number | null;
  /** All that it said. */
  readonly said: string;
  readonly milliseconds: number;
}

/** How long a command may take to come to where it is killed, in milliseconds. */
const patience = 30_000;

/** Requests of one kind. */
export interface Call {
  readonly of: "aws" | "kubernetes";
  readonly matches: Matches;
}

/** Calls of AWS by their action, such as `iam:CreateUser`. */
export const awsCall = (...actions: readonly string[]): Call => ({
  of: "aws",
  matches: ({ method, path, headers, body }) =>
    actions.includes(askedFor({ method, url: path, headers }, body)?.action ?? ""),
});

/** What is asked of Kubernetes for an object, by the end of its path; a preview asks for nothing. */
export const objectCall = (method: "POST" | "PATCH" | "DELETE", end: string): Call => ({
  of: "kubernetes",
  matches: (asked) => {
    const { pathname, searchParams } = new URL(asked.path, "http://kubernetes");
    if (asked.method !== method || searchParams.has("dryRun")) return false;
    return (method === "POST" ? `${pathname}/${nameIn(asked.body)}` : pathname).endsWith(end);
  },
});

/** The name of an object that is made: its path has none. */
const nameIn = (body: Buffer): string =>
  (JSON.parse(body.toString()) as { metadata?: { name?: string } }).metadata?.name ?? "";

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: Record<string, string> }[];
}

/** A kubeconfig that leads to the same cluster by the address of a proxy. */
function kubeconfigOf({ url, ca }: Proxy): string {
  const content = parse(readFileSync(kubeconfig, "utf8")) as Kubeconfig;
  const cluster = { server: url, "certificate-authority-data": Buffer.from(ca).toString("base64") };
  return stringify({ ...content, clusters: content.clusters.map((one) => ({ ...one, cluster })) });
}

/** What `npm run up` and `npm run down` run. */
export const commands = {
  up: ["up", "--refresh", "--yes", "--skip-preview"],
  destroy: ["destroy", "--yes", "--skip-preview"],
} as const;

/** An operation that a killed command had begun, as the state has it. */
export interface Pending {
  readonly type: string;
  readonly resource: {
    readonly type: string;
    readonly urn: string;
    readonly parent?: string;
    /** `URN::ID` of its provider. */
    readonly provider?: string;
    readonly inputs: Readonly<Record<string, unknown>>;
  };
}

export class EngineStack {
  readonly name: string;
  /** What a user sets for its commands on top. */
  environment: Readonly<Record<string, string>> = {};
  readonly #folder = mkdtempSync(join(tmpdir(), "ecr-helper-faults-"));
  readonly #proxies: Readonly<Record<Call["of"], Proxy>>;
  readonly #own: readonly string[];
  #stack: Stack;

  private constructor(name: string, settings: readonly string[], proxies: Readonly<Record<Call["of"], Proxy>>) {
    this.name = name;
    this.#proxies = proxies;
    const file = join(this.#folder, "kubeconfig");
    writeFileSync(file, kubeconfigOf(proxies.kubernetes), { mode: 0o600 });
    const named = ["repositoryName", "policyName", "userName", "roleName", "namespace"].map((key) => `${key}=${name}`);
    this.#own = [...named, `kubeconfig=${file}`, ...settings];
    this.#stack = this.configure();
  }

  /** Makes a stack by a name that all that it makes has, too; its settings are KEY=VALUE as after `-c`. */
  static async make(name: string, settings: readonly string[] = []): Promise<EngineStack> {
    const { server, ca } = readKubeconfig(kubeconfig);
    const stack = new EngineStack(name, settings, {
      aws: await Proxy.start({ upstream: aws.AWS_ENDPOINT_URL }),
      kubernetes: await Proxy.start({ upstream: server, ca }),
    });
    mkdirSync(backend, { recursive: true, mode: 0o700 });
    await stack.pulumi("stack", "init", "--no-select");
    return stack;
  }

  /** Gives the stack these settings on top of its own; they hold for the commands from now on. */
  configure(...settings: readonly string[]): Stack {
    // What was given before does not hold any more.
    rmSync(join(home, "stacks", this.name, "overrides.json"), { force: true });
    this.#stack = openStack(this.name, [...this.#own, ...settings].map(parseOverride));
    // A command of somebody else's that looks at all stacks writes their configurations anew, from what is kept.
    keepOverrides(this.#stack);
    return this.#stack;
  }

  /** Where its configuration is. */
  get stack(): Stack {
    return this.#stack;
  }

  /** Brings it up as `npm run up` does. */
  async up(): Promise<Ended> {
    return this.try(...commands.up);
  }

  async destroy(): Promise<Ended> {
    return this.try(...commands.destroy);
  }

  /** Runs a pulumi command on the stack that has to end well, and gives what it printed. */
  async pulumi(...args: readonly string[]): Promise<string> {
    const { code, said } = await this.try(...args);
    if (code !== 0) throw new Error(`pulumi ${args.join(" ")} ended with ${String(code)}: ${said}`);
    return said;
  }

  /** Runs a pulumi command on the stack. */
  async try(...args: readonly string[]): Promise<Ended> {
    return this.#start(args).ended;
  }

  #start(args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
    const since = performance.now();
    const { name, configFile, project, folder } = this.#stack;
    const config = /^(up|destroy|refresh|import)$/.test(args[0] ?? "") ? ["--config-file", configFile] : [];
    const child = spawn(pulumiCommand, [...args, "--stack", name, ...config, "--non-interactive"], {
      // A new stack's configuration is written where it is made: not into the checkout.
      cwd: args[0] === "stack" ? folder : project,
      env: { ...process.env, ...cloudEnvironment(), AWS_ENDPOINT_URL: this.#proxies.aws.url, ...this.environment },
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own, by which it is killed.
      detached: true,
    });
    const said = [text(child.stdout), text(child.stderr)] as const;
    const ended = Promise.all([...said, once(child, "exit")]).then(([stdout, stderr]) => {
      // An exported state has secrets in it, encrypted by an empty passphrase: it stays where it is.
      recordSaid("commands", args[1] === "export" ? stderr : stdout + stderr);
      keepFiles();
      return { code: child.exitCode, said: stdout + stderr, milliseconds: Math.round(performance.now() - since) };
    });
    return { child, ended };
  }

  /** Has requests go wrong. */
  put({ of, matches }: Call, fault: Fault, times?: number): Outage {
    return this.#proxies[of].put(matches, fault, times);
  }

  /** What a killed command had begun. */
  async pending(): Promise<readonly Pending[]> {
    const { deployment } = JSON.parse(await this.pulumi("stack", "export")) as {
      deployment: { pending_operations?: Pending[] };
    };
    return deployment.pending_operations ?? [];
  }

  async proveNothingIsLeft(): Promise<void> {
    Object.assign(process.env, cloudEnvironment());
    await proveNothingIsLeft(this.#stack, []);
  }

  /** Takes down what there is of it, and forgets it. */
  async end(): Promise<void> {
    try {
      if (isMade(this.name)) await this.#takeDown();
      // A command of somebody else's that looks at all stacks would make its folder anew.
      await exclusively(async () => {
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
   * Runs a command that is killed when each of these calls was made once, their answers still on their way: they are done,
   * and nobody wrote it down. Or, `before`, when none of them is done yet.
   */
  async killedAt(
    calls: readonly Call[],
    args: readonly string[],
    moment: "before" | "after" = "after",
  ): Promise<Ended> {
    const held = new EventEmitter();
    let left = calls.length;
    const hold: Fault = async (exchange) => {
      if (moment === "after") await buffer(await exchange.forward());
      if (--left === 0) held.emit("all");
    };
    const outages = calls.map((call) => this.put(call, hold, 1));
    return this.killedWhen(once(held, "all"), args).finally(() => {
      for (const outage of outages) outage.lift();
    });
  }

  /** Runs a command that is killed, with all that it started, when something has happened. */
  async killedWhen(happened: Promise<unknown>, args: readonly string[]): Promise<Ended> {
    const { child, ended } = this.#start(args);
    const late = new AbortController();
    const timer = sleep(patience, "late", { signal: late.signal }).catch(() => "in time");
    const first = await Promise.race([happened.then(() => "happened"), ended.then(() => "ended"), timer]);
    late.abort();
    if (first !== "ended" && child.pid !== undefined) killEngine(child.pid);
    const killed = await ended;
    if (first !== "happened") throw new Error(`pulumi ${args.join(" ")} ${first}, and was not to be: ${killed.said}`);
    return killed;
  }
}
