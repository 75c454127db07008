// The helper's metrics, exposed by the Prometheus client library. No label has a value per namespace: there may be thousands.
import { Counter, Gauge, Registry } from "prom-client";
import type { HelperConfig } from "../config/helper-config.ts";
import type { TokenRequest } from "../config/token-requests.ts";
import type { Tokens } from "../ecr/token.ts";
import { formatRef, type ObjectRef } from "../kube/object-ref.ts";
import type { KubeRequest } from "../kube/types.ts";
import type { NamespaceState } from "./status.ts";

/** What is read at each scrape. */
interface MetricsSource {
  readonly states: () => ReadonlyMap<string, NamespaceState>;
  readonly isFullySynced: () => boolean;
  readonly isLeading: () => boolean;
  /** How many of the stack's owners do not exist. */
  readonly missingOwners: () => number;
}

/** All metrics of one helper. Counters are increased by its methods, and gauges of the current state are read at each scrape. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #config: HelperConfig;
  readonly #tokenExpiry: Gauge<"registry" | "region" | "login">;
  readonly #tokenRequests = this.#counter(
    "ecr_helper_token_requests_total",
    "Requests for authorization tokens to Amazon ECR.",
    ["region", "role", "login", "result"],
  );
  readonly #kubeRequests = this.#counter(
    "ecr_helper_kubernetes_requests_total",
    "Requests to the Kubernetes API, by the status of the answer; 0 where none came.",
    ["verb", "resource", "code"],
  );
  readonly #applies = this.#counter(
    "ecr_helper_applies_total",
    "Objects that were written or removed to reach the desired state, by outcome.",
    ["object", "outcome"],
  );
  readonly #applyFailures = this.#counter(
    "ecr_helper_apply_failures_total",
    "Objects that could not be written or removed, by reason.",
    ["object", "reason"],
  );
  readonly #driftRepairs = this.#counter(
    "ecr_helper_drift_repairs_total",
    "Objects that another program deleted or changed and that were put back.",
    ["object"],
  );
  readonly #watchFailures = this.#counter(
    "ecr_helper_watch_failures_total",
    "Times that the Kubernetes API could not be listed or watched.",
    ["resource"],
  );

  constructor(config: HelperConfig, source: MetricsSource) {
    this.#config = config;
    this.#tokenExpiry = new Gauge({
      name: "ecr_helper_token_expiry_timestamp_seconds",
      help: "When the authorization token of a registry expires, in seconds since 1970.",
      labelNames: ["registry", "region", "role", "login"],
      registers: [this.#registry],
    });
    // Each series starts at 0, so that Prometheus sees the first request as an increase too.
    for (const request of config.allTokenRequests.values()) {
      for (const result of ["success", "failure"]) this.#tokenRequests.inc({ ...labelsOf(request), result }, 0);
    }
    registerGauges(this.#registry, source);
  }

  /** Sets the expiry of each registry whose token has one. */
  setTokenExpiry(tokens: Tokens): void {
    for (const [name, request] of this.#config.allTokenRequests) {
      const end = tokens.get(name)?.expiresAt;
      if (end === undefined || Number.isNaN(end)) continue;
      for (const registry of request.hosts) this.#tokenExpiry.set({ registry, ...labelsOf(request) }, end / 1000);
    }
  }

  /** Call when the helper stops working: another one keeps the tokens now. */
  clearTokenExpiry(): void {
    this.#tokenExpiry.reset();
  }

  /** Counts a request to ECR for the token of this name. */
  countTokenRequest(name: string, result: "success" | "failure"): void {
    const request = this.#config.allTokenRequests.get(name);
    if (request !== undefined) this.#tokenRequests.inc({ ...labelsOf(request), result });
  }

  /** Counts a request to the Kubernetes API by the status of its answer; 0 where none came. */
  countKubeRequest({ method, path, contentType }: KubeRequest, status: number): void {
    const { verb, resource } = describeRequest(method, path, contentType);
    this.#kubeRequests.inc({ verb, resource, code: String(status) });
  }

  /** Counts a write of an object. */
  applied(object: ObjectRef, outcome: string): void {
    this.#applies.inc({ object: this.#labelOf(object), outcome });
  }

  /** Counts a failed write of an object. `reason` is one of few words. */
  failed(object: ObjectRef, reason: string): void {
    this.#applyFailures.inc({ object: this.#labelOf(object), reason });
  }

  /** Counts an outside change that was reverted. */
  drifted(object: ObjectRef): void {
    this.#driftRepairs.inc({ object: this.#labelOf(object) });
  }

  /** Counts a failed list or watch of a collection. */
  watchFailed(path: string): void {
    this.#watchFailures.inc({ resource: describeRequest("GET", path).resource });
  }

  /** All service accounts that are not named share one label: there may be any number of them. */
  #labelOf(object: ObjectRef): string {
    const isUnnamed = object.kind === "ServiceAccount" && !this.#config.serviceAccounts.includes(object.name);
    return formatRef(isUnnamed ? { kind: object.kind, name: "*" } : object);
  }

  /** The metrics in Prometheus' text format, and its content type. */
  async text(): Promise<{ type: string; body: string }> {
    return { type: this.#registry.contentType, body: await this.#registry.metrics() };
  }

  #counter<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }
}

/** The labels of a token. The region of ECR Public has tokens of its own. `role` is there only where a registry has one, so that the others keep their series. */
function labelsOf(request: TokenRequest): Record<"region" | "login", string> & { role?: string } {
  const { service, role, login } = request;
  const region = service === "ecr" ? request.region : "public";
  return role === undefined || login === "push" ? { region, login } : { region, role: role.roleArn, login };
}

/** Registers the gauges that are read at each scrape. */
function registerGauges(registry: Registry, { states, isFullySynced, isLeading, missingOwners }: MetricsSource): void {
  const registers = [registry];
  new Gauge({
    name: "ecr_helper_leading",
    help: "1 while the helper holds the Lease and works; 0 while it stands by.",
    registers,
    collect() {
      this.set(isLeading() ? 1 : 0);
    },
  });
  new Gauge({
    name: "ecr_helper_last_success_timestamp_seconds",
    help: "The last scrape at which every namespace was synced and no token had expired, in seconds since 1970.",
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
    name: "ecr_helper_owners_missing",
    help: "ClusterRoles of the stack that own the kept objects and do not exist; without the last, objects outlive the stack.",
    registers,
    collect() {
      this.set(missingOwners());
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

/** The verb and resource of a request, in the words of Kubernetes' roles and audit log. */
function describeRequest(
  method: KubeRequest["method"],
  path: string,
  contentType = "",
): { verb: string; resource: string } {
  const [, resource = "", name] = /\/v1(?:\/namespaces\/[^/?]+(?=\/))?\/([^/?]+)(?:\/([^/?]+))?/.exec(path) ?? [];
  if (method === "GET")
    return { verb: path.includes("watch=1") ? "watch" : name === undefined ? "list" : "get", resource };
  if (method === "PATCH") return { verb: contentType.includes("apply") ? "apply" : "patch", resource };
  return { verb: { POST: "create", PUT: "update", DELETE: "delete" }[method], resource };
}
