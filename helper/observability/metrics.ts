// The helper's metrics, by the client library of Prometheus. No label has a value per namespace: there may be thousands.
import { Counter, Gauge, Registry } from "prom-client";
import type { HelperConfig } from "../config/helper-config.ts";
import type { Tokens } from "../ecr/token.ts";
import type { KubeRequest } from "../kube/types.ts";
import type { NamespaceState } from "./status.ts";

export class Metrics {
  readonly #registry = new Registry();
  readonly #config: HelperConfig;
  readonly #expiry: Gauge<"registry" | "region" | "login">;
  readonly #ecr: Counter<"region" | "login" | "result">;
  readonly #kube: Counter<"verb" | "resource" | "code">;
  readonly #applies: Counter<"object" | "outcome">;
  readonly #failures: Counter<"object" | "reason">;
  readonly #drifts: Counter<"object">;
  readonly #watchFailures: Counter<"resource">;

  /** What is asked for at every scrape: how each namespace is, and whether all is right. */
  constructor(
    config: HelperConfig,
    { states, isFullySynced }: { states: () => ReadonlyMap<string, NamespaceState>; isFullySynced: () => boolean },
  ) {
    this.#config = config;
    const registers = [this.#registry];
    this.#expiry = new Gauge({
      name: "ecr_helper_token_expiry_timestamp_seconds",
      help: "When the authorization token of a registry ends, in seconds since 1970.",
      labelNames: ["registry", "region", "login"],
      registers,
    });
    this.#ecr = new Counter({
      name: "ecr_helper_token_requests_total",
      help: "Requests for authorization tokens to Amazon ECR.",
      labelNames: ["region", "login", "result"],
      registers,
    });
    this.#kube = new Counter({
      name: "ecr_helper_kubernetes_requests_total",
      help: "Requests to the Kubernetes API, by the status of the answer; 0 where none came.",
      labelNames: ["verb", "resource", "code"],
      registers,
    });
    this.#applies = new Counter({
      name: "ecr_helper_applies_total",
      help: "Objects that were brought to their desired state or taken back.",
      labelNames: ["object", "outcome"],
      registers,
    });
    this.#failures = new Counter({
      name: "ecr_helper_apply_failures_total",
      help: "Objects that could not be brought to their desired state, by reason.",
      labelNames: ["object", "reason"],
      registers,
    });
    this.#drifts = new Counter({
      name: "ecr_helper_drift_repairs_total",
      help: "Objects that somebody else deleted or changed and that were put back.",
      labelNames: ["object"],
      registers,
    });
    this.#watchFailures = new Counter({
      name: "ecr_helper_watch_failures_total",
      help: "Times that the Kubernetes API could not be listed or watched.",
      labelNames: ["resource"],
      registers,
    });
    // From nothing on, so that the first of each is an increase too.
    for (const { region, login } of config.tokenRequests.values()) {
      for (const result of ["success", "failure"]) this.#ecr.inc({ region, login, result }, 0);
    }
    new Gauge({
      name: "ecr_helper_last_success_timestamp_seconds",
      help: "The last scrape at which every namespace was right and every token alive, in seconds since 1970.",
      registers,
      collect() {
        if (isFullySynced()) this.setToCurrentTime();
      },
    });
    new Gauge({
      name: "ecr_helper_targets",
      help: "Namespaces that the helper manages: synced, pending (not reconciled yet) or failing.",
      labelNames: ["state"],
      registers,
      collect() {
        const counts: Record<NamespaceState, number> = { synced: 0, pending: 0, failing: 0 };
        for (const state of states().values()) counts[state]++;
        for (const [state, count] of Object.entries(counts)) this.set({ state }, count);
      },
    });
    new Gauge({
      name: "process_resident_memory_bytes",
      help: "Resident memory of the helper's process.",
      registers,
      collect() {
        this.set(process.memoryUsage.rss());
      },
    });
  }

  tokens(tokens: Tokens): void {
    for (const [name, { region, login }] of this.#config.tokenRequests) {
      const end = tokens.get(name)?.expiresAt;
      if (end === undefined || Number.isNaN(end)) continue;
      for (const { host } of this.#config.registries.filter((one) => one.region === region)) {
        this.#expiry.set({ registry: host, region, login }, end / 1000);
      }
    }
  }

  /** `name` is that of a token. */
  asked(name: string, result: "success" | "failure"): void {
    const { region = "", login } = this.#config.tokenRequests.get(name) ?? {};
    this.#ecr.inc({ region, ...(login === undefined ? {} : { login }), result });
  }

  called({ method, path, contentType }: KubeRequest, status: number): void {
    const { verb, resource } = requestOf(method, path, contentType);
    this.#kube.inc({ verb, resource, code: String(status) });
  }

  applied(object: string, outcome: string): void {
    this.#applies.inc({ object, outcome });
  }

  failed(object: string, reason: string): void {
    this.#failures.inc({ object, reason });
  }

  drifted(object: string): void {
    this.#drifts.inc({ object });
  }

  watchFailed(path: string): void {
    this.#watchFailures.inc({ resource: requestOf("GET", path).resource });
  }

  /** In Prometheus' text format, and its content type. */
  async text(): Promise<{ type: string; body: string }> {
    return { type: this.#registry.contentType, body: await this.#registry.metrics() };
  }
}

/** The verb and resource of a request, in the words of Kubernetes' roles and audit log. */
function requestOf(method: KubeRequest["method"], path: string, contentType = ""): { verb: string; resource: string } {
  const [, resource = "", name] = /\/v1(?:\/namespaces\/[^/?]+(?=\/))?\/([^/?]+)(?:\/([^/?]+))?/.exec(path) ?? [];
  if (method === "GET")
    return { verb: path.includes("watch=1") ? "watch" : name === undefined ? "list" : "get", resource };
  if (method === "PATCH") return { verb: contentType.includes("apply") ? "apply" : "patch", resource };
  return { verb: { POST: "create", PUT: "update", DELETE: "delete" }[method], resource };
}
