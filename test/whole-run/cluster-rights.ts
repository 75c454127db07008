// What helpers asked API servers for, by their audit logs, against what their roles grant. Pure.

/** An event of an API server's audit log: https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/ */
export interface AuditEvent {
  readonly requestReceivedTimestamp: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource?: string; readonly namespace?: string; readonly name?: string };
  readonly responseStatus?: { readonly code?: number };
  readonly requestObject?: unknown;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Whether the API server is one that a test started and may have killed. */
  readonly isOfTest?: boolean;
}

interface Rule {
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

/** Where a role holds: in a build namespace, in the helper's own, or in all and on what is in none. */
export type Place = "build" | "own" | "everywhere";

/** Each right that the rules give in a place: `build: patch secrets ecr-creds`. */
export const rightsOf = (place: Place, rules: readonly Rule[] = []): string[] =>
  rules.flatMap(({ resources, resourceNames = [""], verbs }) =>
    resources.flatMap((resource) =>
      resourceNames.flatMap((name) => verbs.map((verb) => right(place, verb, resource, name))),
    ),
  );

const right = (place: Place, verb: string, resource: string, name: string): string =>
  `${place}: ${verb} ${resource} ${name}`.trimEnd();

export interface Findings {
  /** Rights that were used, each one. */
  readonly used: ReadonlySet<string>;
  /** What was denied though no role ever grants it. */
  readonly beyond: readonly string[];
  /** What was denied though the role that grants it stood. */
  readonly denied: readonly string[];
  /** What was denied because the role was not there, or the API server did not know it yet. */
  readonly withoutRole: readonly string[];
}

/** How long an API server may take to know of a role, in milliseconds. */
const propagationMs = 2_000;

/** Judges all that helpers asked for. The events may come in any order. */
export function checkHelpers(events: readonly AuditEvent[], granted: ReadonlySet<string>): Findings {
  const roles = new Roles();
  const verdict = {
    used: new Set<string>(),
    beyond: [] as string[],
    denied: [] as string[],
    withoutRole: [] as string[],
  };
  const byTime = [...events].sort(
    (a, b) => Date.parse(a.requestReceivedTimestamp) - Date.parse(b.requestReceivedTimestamp),
  );
  for (const event of byTime) {
    roles.note(event);
    const helper = helperOf(event);
    if (helper === undefined) continue;
    if (event.annotations?.["authorization.k8s.io/decision"] === "allow") {
      for (const one of usedBy(event, helper)) verdict.used.add(one);
      continue;
    }
    const told = `${event.requestReceivedTimestamp} ${event.user.username} ${event.verb} ${event.requestURI}`;
    if (!placesOf(event, helper).some((place) => granted.has(rightIn(place, event)))) verdict.beyond.push(told);
    else if (event.isOfTest !== true && roles.wasInForce(event, helper)) verdict.denied.push(told);
    else verdict.withoutRole.push(told);
  }
  return verdict;
}

/** The namespace of the helper that asked; undefined where it was no helper, but a test that tried its rights. */
function helperOf({ user, requestURI }: AuditEvent): string | undefined {
  if (requestURI.includes("dryRun=All")) return undefined;
  return /^system:serviceaccount:([^:]+):ecr-helper$/.exec(user.username)?.[1];
}

/** A login for builds of another region has the region in its name, and a stack's marker the stack's name. */
function rightIn(place: Place, { verb, objectRef: { resource = "", name = "" } = {} }: AuditEvent): string {
  const named = name
    .replace(/^ecr-creds-\w+-\w+-\d$/, "ecr-creds")
    .replace(/^ecr-helper-.+-stack$/, "ecr-helper-test-stack");
  return right(place, verb, resource, named);
}

const placesOf = ({ objectRef }: AuditEvent, helper: string): Place[] =>
  objectRef?.namespace === undefined
    ? ["everywhere"]
    : [...(objectRef.namespace === helper ? ["own" as const] : []), "build", "everywhere"];

/** The rights that a request used, which the API server tells the roles of. */
function usedBy(event: AuditEvent, helper: string): string[] {
  const reason = event.annotations?.["authorization.k8s.io/reason"] ?? "";
  const namespace = /RoleBinding "[^"]+\/([^"]+)" of Role/.exec(reason)?.[1];
  const place = reason.includes("of ClusterRole") ? "everywhere" : namespace === helper ? "own" : "build";
  // An apply that finds nothing there is a create, too, and asked for that right.
  const isCreate = event.verb === "patch" && event.responseStatus?.code === 201;
  return [event, ...(isCreate ? [{ ...event, verb: "create" }] : [])].map((one) => rightIn(place, one));
}

interface Binding {
  readonly roleRef: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly { readonly name: string; readonly namespace?: string }[];
}

/** Which roles and bindings there are, as the events tell it one after the other. */
class Roles {
  /** Since when, by `RESOURCE NAMESPACE/NAME`. */
  readonly #made = new Map<string, number>();
  readonly #bindings = new Map<string, { readonly helpers: readonly string[]; readonly role: string }>();

  note(event: AuditEvent): void {
    const { resource, namespace, name } = subjectOf(event);
    if (!isDone(event) || !/^(namespaces|(cluster)?role(binding)?s)$/.test(resource)) return;
    const key = `${resource} ${namespace}/${name}`;
    if (event.verb === "deletecollection") return void this.#forget(`${resource} ${namespace}/`);
    if (event.verb === "delete") {
      this.#made.delete(key);
      if (resource === "namespaces") this.#forget(` ${name}/`);
      return;
    }
    if (!this.#made.has(key)) this.#made.set(key, Date.parse(event.requestReceivedTimestamp));
    if (resource.endsWith("bindings")) this.#bind(key, namespace, event.requestObject as Partial<Binding>);
  }

  /** Forgets all of a namespace, or those of one resource in it. */
  #forget(part: string): void {
    for (const key of this.#made.keys()) if (key.includes(part)) this.#made.delete(key);
  }

  #bind(key: string, namespace: string, { roleRef, subjects = [] }: Partial<Binding>): void {
    // The garbage collector patches the owners alone. The role of a binding never changes.
    if (roleRef === undefined) return;
    const role = roleRef.kind === "Role" ? `roles ${namespace}/${roleRef.name}` : `clusterroles /${roleRef.name}`;
    const helpers = subjects.map((subject) => subject.namespace ?? "");
    this.#bindings.set(key, { helpers, role });
  }

  /** Whether a helper's role, in the namespace of what it asked for or everywhere, was there, and known. */
  wasInForce({ objectRef, requestReceivedTimestamp }: AuditEvent, helper: string): boolean {
    const latest = Date.parse(requestReceivedTimestamp) - propagationMs;
    const isThere = (key: string): boolean => (this.#made.get(key) ?? Infinity) < latest;
    const wanted = new RegExp(`^(clusterrolebindings /|rolebindings ${objectRef?.namespace ?? "-"}/)`);
    return [...this.#bindings].some(
      ([key, { helpers, role }]) => wanted.test(key) && helpers.includes(helper) && isThere(key) && isThere(role),
    );
  }
}

const isDone = ({ responseStatus }: AuditEvent): boolean => (responseStatus?.code ?? 500) < 300;

/** What an event is about. An object that is made by POST has its name in itself. */
function subjectOf({ objectRef = {}, requestObject }: AuditEvent): {
  resource: string;
  namespace: string;
  name: string;
} {
  const { metadata } = (requestObject ?? {}) as { metadata?: { name?: string } };
  return { resource: "", namespace: "", name: metadata?.name ?? "", ...objectRef };
}
