// What the helper may do in the cluster: keep its objects, by their names, in the build namespaces, and nothing else.
import { createHash } from "node:crypto";
import { ClusterRole } from "@pulumi/kubernetes/rbac/v1/clusterRole.js";
import { ClusterRoleBinding } from "@pulumi/kubernetes/rbac/v1/clusterRoleBinding.js";
import { Role } from "@pulumi/kubernetes/rbac/v1/role.js";
import { RoleBinding } from "@pulumi/kubernetes/rbac/v1/roleBinding.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import { isDynamic, staticNamespaces, type NamespaceRules } from "../helper/shared/namespace-rules.ts";

type PolicyRule = input.rbac.v1.PolicyRule;

export interface RbacArgs {
  /** Name of the roles; the cluster-scoped one must be the stack's own. */
  readonly name: string;
  /** The helper's service account. */
  readonly subject: { readonly name: pulumi.Input<string>; readonly namespace: pulumi.Input<string> };
  readonly targets: NamespaceRules;
  /** The helper's own namespace, where it keeps its tokens for the next helper: its name, and when it is there. */
  readonly ownNamespace: string;
  readonly namespace: pulumi.Input<string>;
  /** The helper's Deployment, which tells it what comes next. */
  readonly deployment: string;
  /** The names of the secrets that builds log in with. */
  readonly basicAuthSecrets: pulumi.Input<string[]>;
  readonly pullSecret: string;
  /** Whether the helper keeps the logins of builds in its own namespace, too, beside its pull secret. */
  readonly keepsLogins: boolean;
  readonly serviceAccount: string;
}

// A create by server-side apply carries the object's name, and a list or a watch may ask for one name: all of these are
// limited by resourceNames.
const keeping = ["list", "watch", "create", "patch", "delete"];
const rule = (resource: string, resourceNames: pulumi.Input<string[]>, verbs: string[]): PolicyRule => ({
  apiGroups: [""],
  resources: [resource],
  resourceNames,
  verbs,
});

// Events get their names when they are made: only making them can be allowed.
const recordEvents: PolicyRule = { apiGroups: [""], resources: ["events"], verbs: ["create"] };

/** Names and labels of namespaces; the helper asks for no more of them. */
const watchNamespaces: PolicyRule = { apiGroups: [""], resources: ["namespaces"], verbs: ["list", "watch"] };

/** The name of the roles by which a stack's helper keeps objects of these names: other names, another role. */
export const roleName = (stack: string, objects: readonly string[]): string =>
  `${stack}-${createHash("sha256").update(JSON.stringify(objects)).digest("hex").slice(0, 8)}`;

export class Rbac extends pulumi.ComponentResource {
  /**
   * The cluster-scoped object that owns what the helper creates: Kubernetes collects it all when the stack is destroyed.
   * It grants no more than to see whether the stack is still there.
   */
  readonly owner: { readonly name: pulumi.Output<string>; readonly uid: pulumi.Output<string> };
  /**
   * The name of the ClusterRole by whose absence a helper that ends knows that the stack does, too: it grants nothing, and
   * nobody but `destroy` takes it away before the Deployment.
   */
  readonly marker: string;

  constructor(name: string, args: RbacArgs, opts: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Access", name, {}, opts);
    const inside = { parent: this };
    this.marker = `${args.name}-stack`;

    const { pullSecret } = args;
    const secrets = pulumi.output(args.basicAuthSecrets).apply((logins) => [...logins, pullSecret]);
    const keep = [
      rule("secrets", secrets, keeping),
      rule("serviceaccounts", [args.serviceAccount], ["get", ...keeping]),
    ];
    // Roles for other names are other roles: they are made before the rollout, and the last ones go after it, so that the helper
    // that ends can still take back what had the old names.
    const named = secrets.apply((names) =>
      roleName(args.name, [...names, args.serviceAccount, ...(args.keepsLogins ? ["logins"] : [])]),
    );
    const everywhere = isDynamic(args.targets);
    const subjects = [{ kind: "ServiceAccount", ...args.subject }];
    const apiGroup = "rbac.authorization.k8s.io";
    const readMarker: PolicyRule = {
      apiGroups: [apiGroup],
      resources: ["clusterroles"],
      resourceNames: [this.marker],
      verbs: ["get"],
    };
    const owner = new ClusterRole(name, { metadata: { name: args.name }, rules: [readMarker] }, inside);
    this.owner = { name: owner.metadata.name, uid: owner.metadata.uid };
    const ownerRef = { apiGroup, kind: "ClusterRole", name: owner.metadata.name };
    new ClusterRoleBinding(name, { metadata: { name: args.name }, roleRef: ownerRef, subjects }, inside);
    if (everywhere) {
      // There is no narrower right for namespaces that are not known beforehand. A role of its own: where it is not needed
      // any more it is deleted after the rollout, too.
      const metadata = { name: pulumi.interpolate`${named}-everywhere` };
      const rules = [...keep, recordEvents, watchNamespaces];
      const role = new ClusterRole(`${name}-everywhere`, { metadata, rules }, inside);
      const roleRef = { apiGroup, kind: "ClusterRole", name: role.metadata.name };
      new ClusterRoleBinding(`${name}-everywhere`, { metadata, roleRef, subjects }, inside);
    }

    const grant = (resourceName: string, namespace: pulumi.Input<string>, rules: PolicyRule[]): void => {
      const role = new Role(resourceName, { metadata: { name: named, namespace }, rules }, inside);
      new RoleBinding(
        resourceName,
        {
          metadata: { name: named, namespace },
          roleRef: { apiGroup, kind: "Role", name: role.metadata.name },
          subjects,
        },
        inside,
      );
    };

    const builds = staticNamespaces(args.targets);
    for (const namespace of builds.filter((one) => one !== args.ownNamespace)) {
      grant(`${name}-${namespace}`, namespace, [...keep, recordEvents]);
    }
    // Builds may run in the helper's own namespace, which this stack may be about to make.
    const ownSecrets = args.keepsLogins ? secrets : [pullSecret];
    const own = builds.includes(args.ownNamespace) ? keep : [rule("secrets", ownSecrets, keeping)];
    // A new helper goes on with the tokens that the last one left there.
    const readTokens = rule("secrets", ownSecrets, ["get"]);
    const followDeployment = {
      apiGroups: ["apps"],
      resources: ["deployments"],
      resourceNames: [args.deployment],
      verbs: ["get", "list", "watch"],
    };
    grant(name, args.namespace, [...own, readTokens, recordEvents, followDeployment]);
    this.registerOutputs({});
  }
}
