// The two helpers of a soak: one works, and the other stands by. Each has proxies of its own.
import { setCut } from "../support/cut.ts";
import type { HelperProcess, LogLine } from "../support/helper-process.ts";
import { waitForHolderAmong } from "../support/lease-holder.ts";
import type { Parts } from "../support/stack-parts.ts";
import type { Proxies } from "./faults.ts";
import { usageOf, type Usage } from "./usage.ts";

/** What happens to the helper that works, so that the other one takes over. */
export const takeoverKinds = ["killed", "ended", "stopped", "cut off"] as const;
/** One of these. */
export type TakeoverKind = (typeof takeoverKinds)[number];

interface Member {
  readonly pod: string;
  readonly helper: HelperProcess;
  readonly proxies: Proxies;
  readonly usage: Usage[];
  /** Whether the soak ends it. */
  isEnding: boolean;
}

/** The two helpers. */
export class HelperPair {
  /** The measurements of each process so far, one list a process, in the order of time. */
  readonly usageByProcess: Usage[][] = [];
  readonly #parts: Parts;
  readonly #members: Member[] = [];

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Starts one behind each pair of proxies; the second one when the first one has a token, so that only one asks for it. */
  static async start(parts: Parts, all: readonly Proxies[]): Promise<HelperPair> {
    const pair = new HelperPair(parts);
    for (const proxies of all) {
      const { helper } = pair.#start(proxies);
      if (pair.#members.length === 1) await helper.line(/secret\/ecr-creds-pull configured/);
    }
    return pair;
  }

  /** What both have logged and `takeLines` has not taken. */
  get lines(): LogLine[] {
    return this.#members.flatMap(({ helper }) => helper.lines);
  }

  /** Takes what both have logged since the last call. */
  takeLines(): LogLine[] {
    return this.#members.flatMap(({ helper }) => helper.lines.splice(0));
  }

  /** Measures both processes. Throws if one has ended by itself. */
  measure(): void {
    for (const { helper, usage, pod, isEnding } of this.#members) {
      if (helper.hasEnded && !isEnding) throw new Error(`${pod} ended by itself`);
      if (!helper.hasEnded) usage.push(usageOf(helper.pid));
    }
  }

  /** Kills the one that works, and starts it again, as the same pod, once `paused` resolves. */
  async restart(paused: () => Promise<void>): Promise<void> {
    const holder = await waitForHolderAmong(this.#parts, this.#members);
    await this.#end(holder, "SIGKILL");
    await paused();
    this.#start(holder.proxies, holder.pod);
  }

  /** Resolves when the other one has taken over, with a function that brings back the first one, or a new one in its place. */
  async takeOver(kind: TakeoverKind): Promise<() => Promise<void>> {
    const holder = await waitForHolderAmong(this.#parts, this.#members);
    const others = this.#members.filter((one) => one !== holder);
    const { helper, proxies } = holder;
    const urls = Object.values(proxies).map(({ url }) => url);
    if (kind === "stopped") process.kill(helper.pid, "SIGSTOP");
    else if (kind === "cut off") await setCut(urls, true);
    else await this.#end(holder, kind === "killed" ? "SIGKILL" : "SIGTERM");
    const resume = async (): Promise<void> => {
      if (kind === "stopped") process.kill(helper.pid, "SIGCONT");
      else if (kind === "cut off") await setCut(urls, false);
      else this.#start(proxies);
      return Promise.resolve();
    };
    return waitForHolderAmong(this.#parts, others).then(
      () => resume,
      async (error: unknown) => {
        await resume();
        throw error;
      },
    );
  }

  async #end(member: Member, signal: NodeJS.Signals): Promise<void> {
    member.isEnding = true;
    await member.helper.stop(signal);
    this.#members.splice(this.#members.indexOf(member), 1);
  }

  #start(proxies: Proxies, pod = `soak-${String(this.usageByProcess.length)}`): Member {
    const { ecr, kubernetes } = proxies;
    const cluster = { ...this.#parts.cluster, server: kubernetes.url, ca: kubernetes.ca };
    const helper = this.#parts.run({ AWS_ENDPOINT_URL: ecr.url, ECR_HELPER_POD: pod }, cluster);
    const member: Member = { pod, helper, proxies, usage: [], isEnding: false };
    this.#members.push(member);
    this.usageByProcess.push(member.usage);
    return member;
  }
}
