// Compares the helpers' requests in the audit logs of API servers with what their roles grant. Pure.
import { hasSucceeded, type AuditEvent as LoggedEvent } from "../support/helper-audit.ts";

/** An event of an API server's audit log. */
export interface AuditEvent extends Omit<LoggedEvent, "stageTimestamp"> {
  /** Whether the API server is one that a test started and may have killed. */
  readonly isOfTest?: boolean;
}

interface Rule {
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

/** Where a rule applies: in a build namespace, in the helper's own, or in all namespaces and to cluster-scoped resources. */
export type Scope = "build" | "own" | "everywhere";

/** Each right that rules grant: `build: patch secrets ecr-creds`. */
export const rightsOf = (place: Scope, rules: readonly Rule[] = []): string[] =>
  rules.flatMap(({ resources, resourceNames = [""], verbs }) =>
    resources.flatMap((resource) =>
      resourceNames.flatMap((name) => verbs.map((verb) => right(place, verb, resource, name))),
    ),
  );

const right = (place: Scope, verb: string, resource: string, name: string): string =>
  `${place}: ${verb} ${resource} ${(usualNames[resource] ?? String)(name)}`.trimEnd();

/**
 * The names of objects without what differs between stacks: a region, a role's hash, a stack's name, other names than the defaults
 * that tests give the secrets, those of further secrets, and groups. Those of service accounts that tests include by a pattern or a selector are
 * left out.
 */
const usualNames: Readonly<Record<string, (name: string) => string>> = {
  secrets: (name) =>
    name
      .replace(/^(ecr-creds|logins)(-public|-\w+-\w+-\d)?(-[0-9a-f]{8})?$/, "ecr-creds")
      .replace(/^(kpack|flux|argocd|own|dropped|moved|retyped)$/, "ecr-creds")
      .replace(/^pulls$|^ecr-creds-pull\.\w+$/, "ecr-creds-pull"),
  serviceaccounts: (name) => name.replace(/^(ci-.*|forged-.*|plain|labelled)$/, ""),
  clusterroles: (name) => name.replace(/^ecr-helper-.+?(-stack|-owner)?$/, "ecr-helper-test$1"),
};

/** How requests compare with the roles. */
export interface Findings {
  /** The rights that allowed requests used. */
  readonly used: ReadonlySet<string>;
  /** Denied requests that no role grants. */
  readonly beyond: readonly string[];
  /** Requests that were denied although a role that grants them existed. */
  readonly denied: readonly string[];
  /** Requests that were denied because the role did not exist, or the API server did not know it yet. */
  readonly withoutRole: readonly string[];
}

/** The time that an API server may take to apply a role, in milliseconds. */
const propagationMs = 2_000;

/** Compares all requests of helpers with the granted rights. The events may be in any order. */
export function checkHelpers(events: readonly AuditEvent[], granted: ReadonlySet<string>): Findings {
  const roles = new Roles();
  const findings = {
    used: new Set<string>(),
    beyond: [] as string[],
    denied: [] as string[],
    withoutRole: [] as string[],
  };
  const byTime = [...events].sort(
    (a, b) => Date.parse(a.requestReceivedTimestamp) - Date.parse(b.requestReceivedTimestamp),
  );
  for (const event of byTime) {
    roles.record(event);
    const helper = helperOf(event);
    if (helper === undefined) continue;
    if (event.annotations?.["authorization.k8s.io/decision"] === "allow") {
      for (const one of usedBy(event, helper)) findings.used.add(one);
      continue;
    }
    const description = `${event.requestReceivedTimestamp} ${event.user.username} ${event.verb} ${event.requestURI}`;
    if (!placesOf(event, helper).some((place) => granted.has(rightIn(place, event)))) findings.beyond.push(description);
    else if (event.isOfTest !== true && roles.wasInForce(event, helper)) findings.denied.push(description);
    else findings.withoutRole.push(description);
  }
  return findings;
}

/** The namespace of the helper that sent a request; undefined for other clients, and for dry runs, which only tests send. */
function helperOf({ user, requestURI }: AuditEvent): string | undefined {
  if (requestURI.includes("dryRun=All")) return undefined;
  return /^system:serviceaccount:([^:]+):ecr-helper$/.exec(user.username)?.[1];
}

/** The right that a request needs. */
const rightIn = (place: Scope, { verb, objectRef: { resource = "", name = "" } = {} }: AuditEvent): string =>
  right(place, verb, resource, name);

const placesOf = ({ objectRef }: AuditEvent, helper: string): Scope[] =>
  objectRef?.namespace === undefined
    ? ["everywhere"]
    : [...(objectRef.namespace === helper ? ["own" as const] : []), "build", "everywhere"];

/** The rights that an allowed request used. The audit log names the role that granted it. */
function usedBy(event: AuditEvent, helper: string): string[] {
  const reason = event.annotations?.["authorization.k8s.io/reason"] ?? "";
  const namespace = /RoleBinding "[^"]+\/([^"]+)" of Role/.exec(reason)?.[1];
  const place = reason.includes("of ClusterRole") ? "everywhere" : namespace === helper ? "own" : "build";
  // An apply, or a PUT, that creates the object needs the right to create it, too.
  const isCreate = ["patch", "update"].includes(event.verb) && event.responseStatus?.code === 201;
  return [event, ...(isCreate ? [{ ...event, verb: "create" }] : [])].map((one) => rightIn(place, one));
}

interface Binding {
  readonly roleRef: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly { readonly name: string; readonly namespace?: string }[];
}

/** The roles and bindings that exist, according to the events so far. */
class Roles {
  /** The creation time of each role, binding and namespace, by `RESOURCE NAMESPACE/NAME`. */
  readonly #createdAt = new Map<string, number>();
  readonly #bindings = new Map<string, { readonly helpers: readonly string[]; readonly role: string }>();

  record(event: AuditEvent): void {
    const { resource, namespace, name } = subjectOf(event);
    if (!hasSucceeded(event) || !/^(namespaces|(cluster)?role(binding)?s)$/.test(resource)) return;
    const key = `${resource} ${namespace}/${name}`;
    if (event.verb === "deletecollection") return void this.#forget(`${resource} ${namespace}/`);
    if (event.verb === "delete") {
      this.#createdAt.delete(key);
      if (resource === "namespaces") this.#forget(` ${name}/`);
      return;
    }
    if (!this.#createdAt.has(key)) this.#createdAt.set(key, Date.parse(event.requestReceivedTimestamp));
    if (resource.endsWith("bindings")) this.#bind(key, namespace, event.requestObject as Partial<Binding>);
  }

  /** Forgets everything in a namespace, or all objects of one resource in it. */
  #forget(part: string): void {
    for (const key of this.#createdAt.keys()) if (key.includes(part)) this.#createdAt.delete(key);
  }

  #bind(key: string, namespace: string, { roleRef, subjects = [] }: Partial<Binding>): void {
    // The garbage collector's patches have owners only. The role of a binding never changes.
    if (roleRef === undefined) return;
    const role = roleRef.kind === "Role" ? `roles ${namespace}/${roleRef.name}` : `clusterroles /${roleRef.name}`;
    const helpers = subjects.map((subject) => subject.namespace ?? "");
    this.#bindings.set(key, { helpers, role });
  }

  /** Whether a role of the helper, in the namespace of the request or in the cluster, existed and the API server knew it. */
  wasInForce({ objectRef, requestReceivedTimestamp }: AuditEvent, helper: string): boolean {
    const latest = Date.parse(requestReceivedTimestamp) - propagationMs;
    const existed = (key: string): boolean => (this.#createdAt.get(key) ?? Infinity) < latest;
    const wanted = new RegExp(`^(clusterrolebindings /|rolebindings ${objectRef?.namespace ?? "-"}/)`);
    return [...this.#bindings].some(
      ([key, { helpers, role }]) => wanted.test(key) && helpers.includes(helper) && existed(key) && existed(role),
    );
  }
}

/** The object of an event. The name of an object that is created by POST is only in its body. */
function subjectOf({ objectRef = {}, requestObject }: AuditEvent): {
  resource: string;
  namespace: string;
  name: string;
} {
  const { metadata } = (requestObject ?? {}) as { metadata?: { name?: string } };
  return { resource: "", namespace: "", name: metadata?.name ?? "", ...objectRef };
}
