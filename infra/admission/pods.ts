// The admission policy that gives each new pod of a build namespace the pull secret, whatever its service account is. Kubernetes copies
// an account's pull secrets into a pod only when that is created, and a pod may be created before the helper has seen its account.
// https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
import { MutatingAdmissionPolicy } from "@pulumi/kubernetes/admissionregistration/v1/mutatingAdmissionPolicy.js";
import { MutatingAdmissionPolicyBinding } from "@pulumi/kubernetes/admissionregistration/v1/mutatingAdmissionPolicyBinding.js";
import { MutatingAdmissionPolicy as BetaPolicy } from "@pulumi/kubernetes/admissionregistration/v1beta1/mutatingAdmissionPolicy.js";
import { MutatingAdmissionPolicyBinding as BetaBinding } from "@pulumi/kubernetes/admissionregistration/v1beta1/mutatingAdmissionPolicyBinding.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import type { NamespaceRules } from "../../helper/shared/namespace-rules.ts";
import { isBuildNamespace, literal } from "./cel.ts";

/** The versions of the API that have a MutatingAdmissionPolicy; none: the stack has none. */
export const podAdmissionVersions = ["none", "v1", "v1beta1"] as const;
export type PodAdmissionVersion = (typeof podAdmissionVersions)[number];

/** Arguments of PodAdmission. */
export interface PodAdmissionArgs {
  /** The policy's name. It is cluster-scoped, so it must be unique to the stack. */
  readonly name: string;
  readonly version: Exclude<PodAdmissionVersion, "none">;
  readonly namespaceRules: NamespaceRules;
  readonly pullSecret: string;
}

const pullSecrets = "object.spec.?imagePullSecrets.orValue([])";
/** The kubelet's picture of a pod that is a file on its node. It may reference no secret: the API server refuses one that does. */
const isMirror = 'object.metadata.?annotations[?"kubernetes.io/config.mirror"].hasValue()';

/**
 * The patch of a pod. It cannot be an ApplyConfiguration, by which the API server merges lists: it refuses one for a list
 * whose elements are atomic, as these are.
 */
function patches(pullSecret: string): string {
  // Not as Object.spec.imagePullSecrets{...}: in a list it makes the API server panic (1.35; kubernetes/kubernetes#139032).
  const secret = `{"name": ${literal(pullSecret)}}`;
  const patch = (path: string, value: string): string =>
    `JSONPatch{op: "add", path: ${literal(path)}, value: ${value}}`;
  const path = "/spec/imagePullSecrets";
  const added = `${pullSecrets}.size() > 0 ? ${patch(`${path}/-`, secret)} : ${patch(path, `[${secret}]`)}`;
  return `variables.isBuild ? [${added}] : []`;
}

/** The spec of the policy. If it cannot be evaluated, pods are created as they are: better without the secret than not at all. */
const podPolicySpec = ({
  namespaceRules,
  pullSecret,
}: PodAdmissionArgs): input.admissionregistration.v1.MutatingAdmissionPolicySpec => ({
  failurePolicy: "Ignore",
  // Who takes the secret away again, such as a webhook, has a reason for that.
  reinvocationPolicy: "Never",
  matchConstraints: {
    resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }],
  },
  matchConditions: [
    {
      name: "lacks-the-secret",
      expression: `!${pullSecrets}.exists(one, one.?name.orValue("") == ${literal(pullSecret)})`,
    },
    { name: "is-no-mirror", expression: `!${isMirror}` },
  ],
  // Conditions do not know the namespace's labels, which variables do.
  variables: [{ name: "isBuild", expression: isBuildNamespace(namespaceRules) }],
  mutations: [{ patchType: "JSONPatch", jsonPatch: { expression: patches(pullSecret) } }],
});

/** The policy and its binding. */
export class PodAdmission extends pulumi.ComponentResource {
  constructor(name: string, args: PodAdmissionArgs, opts: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:PodAdmission", name, {}, opts);
    const metadata = { name: `${args.name}-pods` };
    const childOptions = { parent: this };
    const [Policy, Binding] =
      args.version === "v1" ? [MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding] : [BetaPolicy, BetaBinding];
    const policy = new Policy(`${name}-pods`, { metadata, spec: podPolicySpec(args) }, childOptions);
    new Binding(`${name}-pods`, { metadata, spec: { policyName: policy.metadata.name } }, childOptions);
    this.registerOutputs({});
  }
}
