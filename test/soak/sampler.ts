// Checks every namespace four times a second. It watches the cluster directly, and checks every password at the registry.
import { setTimeout as sleep } from "node:timers/promises";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import { secretPath, type Secret } from "../support/kept-objects.ts";
import type { Parts } from "../support/stack-parts.ts";
import { watch, type Change } from "../local/watch.ts";
import { checkSample, type Period, type Sample } from "./credential-check.ts";
import { passwordsOf } from "../support/secret-monitor.ts";

/** What a sampler checks. */
export interface SamplerOptions {
  readonly parts: Parts;
  /** Whether the registry accepts a password now. */
  readonly accepts: (password: string) => Promise<boolean>;
  /** The namespaces to check, each with the time of its creation or last disturbance, in milliseconds since 1970. */
  readonly since: ReadonlyMap<string, number>;
  /** Namespaces whose secrets are not checked, because hostile tenants own them. */
  readonly ignored: readonly string[];
  /** In the order of time. */
  readonly periods: readonly Period[];
  /** Called when a credential is missing for the first time. */
  readonly onFirstFailure: () => void;
}

type Named = Secret & { metadata: { name: string } };

/** The time between two samples, in milliseconds. */
const interval = 250;
/** Only the latest periods are considered: older ones cannot affect the first five seconds of a namespace. */
const relevantPeriods = 20;
/** The number of failed checks that are described. */
const maxDescriptions = 20;

/** Takes samples of the cluster, and counts the checks that fail. */
export class Sampler {
  /** The number of samples. */
  samples = 0;
  /** The number of secrets that had to be valid, over all samples. */
  checks = 0;
  /** The number of these that were not valid. */
  moments = 0;
  /** Descriptions of the first failed checks. */
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
      await this.#takeSample();
      await next;
    }
  }

  /** Resolves with the first sample that matches; with undefined if none does within the time, or when the signal aborts. */
  async until(
    wanted: (sample: Sample) => boolean,
    milliseconds: number,
    signal: AbortSignal,
  ): Promise<Sample | undefined> {
    const deadline = Date.now() + milliseconds;
    return new Promise((resolve) => {
      const check = (sample: Sample): void => {
        const isWanted = wanted(sample);
        if (!isWanted && sample.at < deadline) return;
        this.#waiting.delete(check);
        resolve(isWanted ? sample : undefined);
      };
      this.#waiting.add(check);
      signal.addEventListener("abort", () => resolve(undefined), { once: true });
    });
  }

  async #takeSample(): Promise<void> {
    const { since, accepts, periods } = this.#options;
    const state = { at: Date.now(), since: new Map(since), logins: new Map(this.#logins) };
    const passwords = [...new Set([...state.logins.values()].flat())];
    const isAccepted = await Promise.all(passwords.map(accepts));
    const sample: Sample = { ...state, accepted: new Set(passwords.filter((_, index) => isAccepted[index])) };
    const { checked, without } = checkSample(sample, periods.slice(-relevantPeriods));
    if (this.moments === 0 && without[0] !== undefined) {
      this.#options.onFirstFailure();
      this.without.push(await this.#describeNow(without[0]));
    }
    this.samples++;
    this.checks += checked;
    this.moments += without.length;
    const last = periods.at(-1);
    const when = `${new Date(sample.at).toISOString()}, ${String(sample.at - (last?.from ?? 0))} ms after the begin of: ${last?.what ?? "nothing"}`;
    for (const secret of without) if (this.without.length < maxDescriptions) this.without.push(`${secret} at ${when}`);
    for (const check of this.#waiting) check(sample);
  }

  /** Reads a secret from the API server, to show whether the soak's own watch missed a change. */
  async #describeNow(secret: string): Promise<string> {
    const { parts, accepts } = this.#options;
    const [namespace = "", name = ""] = secret.split("/");
    const path = secretPath(namespace, name);
    const found = await undefinedIfNotFound(parts.admin<Secret>({ method: "GET", path }));
    if (found === undefined) return `${secret} is not in the cluster`;
    const isAccepted = await Promise.all(passwordsOf(found).map(accepts));
    const accepted = String(isAccepted.filter(Boolean).length);
    return `${secret} is in the cluster, with ${String(isAccepted.length)} logins, and ${accepted} are accepted`;
  }

  /** Keeps the logins of all the helper's secrets up to date. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { parts, ignored } = this.#options;
    const path = pathOfSecrets(parts.owner, ignored);
    const isOver = (): boolean => signal.aborted;
    while (!isOver()) {
      try {
        const listed = new Set<string>();
        for await (const change of watch<Named>(parts.options, path, signal)) this.#apply(change, listed);
      } catch (error) {
        // The API server ends every watch after half an hour or more; then everything is listed again.
        if (!isOver() && !String(error).includes("closed the watch")) throw error;
      }
    }
  }

  #apply({ type, object }: Change<Named>, listed: Set<string>): void {
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

/** The API path of a helper's secrets in all namespaces except the `ignored` ones. */
export function pathOfSecrets(owner: string, ignored: readonly string[]): string {
  const fieldSelector = ignored.map((namespace) => `metadata.namespace!=${namespace}`).join(",");
  const query = new URLSearchParams({ labelSelector: `app.kubernetes.io/instance=${owner}`, fieldSelector });
  return `/api/v1/secrets?${query.toString()}`;
}
