// The loop: tokens x targets -> apply. One pass at a time, only what is due, and whatever happens it arms itself again.
import {
  ForeignObjectError,
  isForbidden,
  isNamespaceGone,
  type Apply,
  type ObjectResult,
  type Target,
} from "./apply.ts";
import { firstEnd, type AuthorizationToken, type TokenSource } from "./token.ts";
import { formatDate, reasonOf, type Log } from "./log.ts";
import { refreshDelay, retryDelay } from "./schedule.ts";

export interface Effects {
  readonly tokenSource: TokenSource;
  readonly apply: Apply;
  /** Makes a failure visible on the object itself. */
  readonly warn: (target: Target, result: ObjectResult, reason: string) => Promise<void>;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Resolves after so many milliseconds, or at once when the signal aborts. */
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  /** Called before the loop sleeps or works: it promises to call again until then (milliseconds since 1970). */
  readonly beat: (until: number) => void;
  /** Called once, after the first pass in which every token was given and every target brought to its desired state. */
  readonly ready: () => void;
}

/** Something to do at a time: a token of a region to ask for, a namespace to apply. */
interface Work<T> {
  readonly item: T;
  due: number;
  failures: number;
  /** Whether all is as it should be: the token is there, the objects are right, or there is no namespace to have them. */
  settled: boolean;
  /** Of a target: what failed and is to be tried again; all of it when undefined. */
  only: ReadonlySet<string> | undefined;
}

const newWork = <T>(item: T, due: number): Work<T> => ({ item, due, failures: 0, settled: false, only: undefined });

/** How long a pass may take before the loop counts as stuck: every call in it has a time limit of its own. */
const passLimit = 10 * 60_000;
const concurrency = 8;

/** Keeps every target's objects right until the signal aborts. Never rejects: a pass that does is told, and another comes. */
export async function reconcile(
  regions: readonly string[],
  targets: readonly Target[],
  effects: Effects,
  signal: AbortSignal,
): Promise<void> {
  const { log, now, random } = effects;
  const tokens = new Map<string, AuthorizationToken>();
  const tokenWork = regions.map((item) => newWork(item, 0));
  const targetWork = targets.map((item) => newWork(item, Infinity));
  let ready = false;
  let crashes = 0;

  const failed = (work: Work<unknown>): number => {
    const wait = retryDelay(++work.failures, random());
    work.due = now() + wait;
    return wait;
  };

  const refreshToken = async (work: Work<string>): Promise<void> => {
    try {
      const token = await effects.tokenSource(work.item, signal);
      tokens.set(work.item, token);
      work.failures = 0;
      work.settled = true;
      work.due = now() + refreshDelay(token.expiresAt - now(), random());
      for (const target of targetWork) Object.assign(target, { due: 0, only: undefined });
    } catch (error) {
      if (signal.aborted) return;
      const wait = failed(work);
      const kept = tokens.has(work.item) ? "the last good token stays in place; " : "";
      const next = `${kept}trying again in ${seconds(wait)}`;
      // AWS may repeat the whole request, its session token included, after the first line of what it says.
      const [reason = ""] = reasonOf(error).split("\n");
      log("error", `no authorization token for ${work.item}: ${reason}; ${next}`, { region: work.item });
    }
  };

  const applyTarget = async (work: Work<Target>): Promise<void> => {
    const { namespace } = work.item;
    const results = await effects.apply(work.item, tokens, work.only, signal);
    if (signal.aborted) return;
    for (const { object, outcome } of results.filter((one) => one.outcome !== "failed")) {
      const word = outcome === "unchanged" ? outcome : "configured";
      log("info", `${object} ${word} in namespace ${namespace}`, { namespace, object, outcome });
    }
    const failures = results.filter(({ outcome }) => outcome === "failed");
    if (failures.length > 0) return targetFailed(work, failures);
    Object.assign(work, { due: Infinity, failures: 0, settled: true, only: undefined });
  };

  const targetFailed = async (work: Work<Target>, failures: readonly ObjectResult[]): Promise<void> => {
    const { namespace } = work.item;
    const first = work.failures === 0;
    const wait = failed(work);
    work.only = new Set(failures.map(({ object }) => object));
    work.settled = failures.every(({ error }) => isNamespaceGone(error));
    if (work.settled) {
      const text = `namespace ${namespace} does not exist or is being deleted; it gets its objects when it is there`;
      if (first) log("warn", text, { namespace });
      return;
    }
    for (const result of failures) {
      const { object, error } = result;
      const reason = `${reasonOf(error)}${remedyOf(error)}`;
      const text = `${object} failed in namespace ${namespace}: ${reason}; trying again in ${seconds(wait)}`;
      log("error", text, { namespace, object });
      if (first && error instanceof ForeignObjectError) await effects.warn(work.item, result, reason);
    }
  };

  const pass = async (): Promise<void> => {
    const asked = tokenWork.filter(({ due }) => due <= now());
    await inParallel(asked, refreshToken);
    if (tokens.size === 0) return;
    await inParallel(
      targetWork.filter(({ due }) => due <= now()),
      applyTarget,
    );
    const refreshed = asked.some(({ failures }) => failures === 0);
    const end = firstEnd(tokens.values());
    if (signal.aborted || !refreshed || end === undefined) return;
    log("info", `the secret will expire at ${formatDate(end)}.`, { expiresAt: end.toISOString() });
  };

  while (!signal.aborted) {
    effects.beat(now() + passLimit);
    let rest = 0;
    try {
      await pass();
      crashes = 0;
    } catch (error) {
      rest = retryDelay(++crashes, random());
      log("error", `a pass ended half-way: ${reasonOf(error)}; the next comes in ${seconds(rest)}`);
    }
    if (!ready && [...tokenWork, ...targetWork].every(({ settled }) => settled)) {
      ready = true;
      effects.ready();
    }
    const next = Math.min(...[...tokenWork, ...targetWork].map(({ due }) => due));
    const wait = Math.max(rest, next - now());
    effects.beat(now() + wait + passLimit);
    await effects.sleep(wait, signal);
  }
}

/** With a namespace its Role goes too, and comes back by the stack only. */
const remedyOf = (error: unknown): string =>
  isForbidden(error) ? ". If the namespace was deleted, `pulumi up --refresh` makes the helper's Role in it again" : "";

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}
