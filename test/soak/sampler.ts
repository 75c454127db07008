// Looks at every namespace four times a second: at the cluster directly, by a watch, and at the registry, which is asked
// about every password there is.
import { setTimeout as sleep } from "node:timers/promises";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import { secretPath, type Secret } from "../support/kept-objects.ts";
import type { Parts } from "../support/stack-parts.ts";
import { watch, type Change } from "../local/watch.ts";
import { checkSample, type Period, type Sample } from "./credential-check.ts";
import { passwordsOf } from "../support/secret-monitor.ts";

export interface SamplerOptions {
  readonly parts: Parts;
  /** Whether the registry takes a password now. */
  readonly accepts: (password: string) => Promise<boolean>;
  readonly since: ReadonlyMap<string, number>;
  /** Namespaces whose secrets are anybody's. */
  readonly ignored: readonly string[];
  /** In the order of time. */
  readonly periods: readonly Period[];
  /** Called at the first moment without a credential. */
  readonly onFirstFailure: () => void;
}

type Named = Secret & { metadata: { name: string } };

const interval = 250;
/** Whatever is older has nothing to say about a namespace's first five seconds any more. */
const periodsLookedAt = 20;
/** So many moments without a credential are told in words. */
const told = 20;

export class Sampler {
  /** How many samples there were, and in them secrets that had to be right. */
  samples = 0;
  checks = 0;
  /** Those of them that were not. */
  moments = 0;
  /** The first of those in words. */
  readonly without: string[] = [];
  readonly #options: SamplerOptions;
  readonly #logins = new Map<string, readonly string[]>();
  readonly #waiting = new Set<(sample: Sample) => void>();

  constructor(options: SamplerOptions) {
    this.#options = options;
  }

  /** Samples until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#follow(signal), this.#sample(signal)]);
  }

  async #sample(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const next = sleep(interval, undefined, { signal }).catch(() => undefined);
      await this.#look();
      await next;
    }
  }

  /** Resolves with the first sample that is as wanted; with undefined when there is none in so many milliseconds, or no more. */
  async until(
    wanted: (sample: Sample) => boolean,
    milliseconds: number,
    signal: AbortSignal,
  ): Promise<Sample | undefined> {
    const deadline = Date.now() + milliseconds;
    return new Promise((resolve) => {
      const look = (sample: Sample): void => {
        const isWanted = wanted(sample);
        if (!isWanted && sample.at < deadline) return;
        this.#waiting.delete(look);
        resolve(isWanted ? sample : undefined);
      };
      this.#waiting.add(look);
      signal.addEventListener("abort", () => resolve(undefined), { once: true });
    });
  }

  async #look(): Promise<void> {
    const { since, accepts, periods } = this.#options;
    const seen = { at: Date.now(), since: new Map(since), logins: new Map(this.#logins) };
    const passwords = [...new Set([...seen.logins.values()].flat())];
    const verdicts = await Promise.all(passwords.map(accepts));
    const sample: Sample = { ...seen, accepted: new Set(passwords.filter((_, index) => verdicts[index])) };
    const { checked, without } = checkSample(sample, periods.slice(-periodsLookedAt));
    if (this.moments === 0 && without[0] !== undefined) {
      this.#options.onFirstFailure();
      this.without.push(await this.#lookAgain(without[0]));
    }
    this.samples++;
    this.checks += checked;
    this.moments += without.length;
    const last = periods.at(-1);
    const when = `${new Date(sample.at).toISOString()}, ${String(sample.at - (last?.from ?? 0))} ms after the begin of: ${last?.what ?? "nothing"}`;
    for (const secret of without) if (this.without.length < told) this.without.push(`${secret} at ${when}`);
    for (const look of this.#waiting) look(sample);
  }

  /** Whether the soak itself missed something: what the cluster says when it is asked, and not watched. */
  async #lookAgain(secret: string): Promise<string> {
    const { parts, accepts } = this.#options;
    const [namespace = "", name = ""] = secret.split("/");
    const path = secretPath(namespace, name);
    const found = await undefinedIfNotFound(parts.admin<Secret>({ method: "GET", path }));
    if (found === undefined) return `${secret} is not in the cluster`;
    const verdicts = await Promise.all(passwordsOf(found).map(accepts));
    const taken = String(verdicts.filter(Boolean).length);
    return `${secret} is in the cluster, with ${String(verdicts.length)} logins, and ${taken} are taken`;
  }

  /** Keeps what is in every secret of the helper's. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { parts, ignored } = this.#options;
    const path = pathOfSecrets(parts.owner, ignored);
    const isOver = (): boolean => signal.aborted;
    while (!isOver()) {
      try {
        const listed = new Set<string>();
        for await (const change of watch<Named>(parts.options, path, signal)) this.#take(change, listed);
      } catch (error) {
        // The API server ends every watch after half an hour or more, and then everything is listed again.
        if (!isOver() && !String(error).includes("closed the watch")) throw error;
      }
    }
  }

  #take({ type, object }: Change<Named>, listed: Set<string>): void {
    if (type === "LISTED") {
      for (const key of this.#logins.keys()) if (!listed.has(key)) this.#logins.delete(key);
      return;
    }
    const key = `${object.metadata.namespace}/${object.metadata.name}`;
    listed.add(key);
    if (type === "DELETED") this.#logins.delete(key);
    else this.#logins.set(key, passwordsOf(object));
  }
}

/** Where a helper's secrets are, but for those in the `ignored` namespaces. */
export function pathOfSecrets(owner: string, ignored: readonly string[]): string {
  const fieldSelector = ignored.map((namespace) => `metadata.namespace!=${namespace}`).join(",");
  const query = new URLSearchParams({ labelSelector: `app.kubernetes.io/instance=${owner}`, fieldSelector });
  return `/api/v1/secrets?${query.toString()}`;
}
