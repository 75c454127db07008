// Reports which of the stack's owners are missing: to whoever reads the log, or the Events of the Deployment.
import type { HelperConfig } from "../config/helper-config.ts";
import type { Log } from "../runtime/logger.ts";
import type { Warn } from "./event-recorder.ts";
import { ownerNames } from "../shared/ownership.ts";

/** Reports each owner once when it is missing, and once when it is back. */
export class OwnersReport {
  readonly #config: HelperConfig;
  readonly #log: Log;
  readonly #warn: Warn;
  #missing: readonly string[] = [];

  constructor(config: HelperConfig, log: Log, warn: Warn) {
    [this.#config, this.#log, this.#warn] = [config, log, warn];
  }

  /** Takes the names of all owners that are missing now. */
  update(missing: readonly string[]): void {
    const before = this.#missing;
    this.#missing = missing;
    for (const name of before.filter((one) => !missing.includes(one)))
      this.#log("info", `ClusterRole ${name} exists again, and owns what the helper keeps`, { owner: name });
    for (const name of missing.filter((one) => !before.includes(one))) this.#reportMissing(name);
  }

  #reportMissing(name: string): void {
    const { namespace, deployment } = this.#config;
    const isLast = this.#missing.length === ownerNames(this.#config).length;
    const consequence = isLast
      ? "Nothing owns what the helper keeps: it stays, but Kubernetes would not delete it with the stack"
      : "The other owner keeps everything in place, and must not be lost too";
    const text = `ClusterRole ${name}, which owns what the helper keeps, does not exist. ${consequence}. \`pulumi up --refresh\` creates it again`;
    this.#log("error", text, { owner: name });
    this.#warn(namespace, { kind: "Deployment", name: deployment }, "OwnerMissing", text);
  }
}
