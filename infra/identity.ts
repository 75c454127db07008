// The helper's identity in AWS: its IAM user or role, the IAM policies, and what ties the role to the pod.
import { PodIdentityAssociation } from "@pulumi/aws/eks/podIdentityAssociation.js";
import { AccessKey } from "@pulumi/aws/iam/accessKey.js";
import { OpenIdConnectProvider } from "@pulumi/aws/iam/openIdConnectProvider.js";
import { Policy } from "@pulumi/aws/iam/policy.js";
import { Role } from "@pulumi/aws/iam/role.js";
import { RolePolicyAttachment } from "@pulumi/aws/iam/rolePolicyAttachment.js";
import { User } from "@pulumi/aws/iam/user.js";
import { UserPolicyAttachment } from "@pulumi/aws/iam/userPolicyAttachment.js";
import * as pulumi from "@pulumi/pulumi";
import type { EksCluster } from "./cluster.ts";
import type { IamOptions } from "./config/identity.ts";
import { helperArn } from "./iam-arns.ts";
import type { HelperPolicy } from "./image-rights.ts";
import type { OidcProvider } from "./oidc.ts";
import type { Registry } from "./registry.ts";
import type { ConfigOf, ResolvedIdentity } from "./resolved-identity.ts";
import {
  assumeActions,
  audience,
  helperTrust,
  podIdentityTrust,
  principalTrust,
  webIdentityTrust,
  type ServiceAccountName,
  type TrustPolicy,
} from "./trust-policy.ts";

/** Arguments of Identity. */
export interface IdentityArgs extends IamOptions {
  readonly policyName: string;
  readonly policy: HelperPolicy;
  readonly identity: ResolvedIdentity;
  /** The role that pushes; undefined if nothing is pushed. */
  readonly push: AssumedRole | undefined;
  /** The groups' own roles, by the group's name. */
  readonly groups: Readonly<Record<string, AssumedRole>>;
  /** The stack's own registry, which names its account and partition. */
  readonly own: Registry;
  /** The helper's own service account. */
  readonly serviceAccount: ServiceAccountName;
}

/** A role that the helper assumes to get logins with other rights than its own ones have. */
export interface AssumedRole {
  readonly roleName: string;
  readonly policyName: string;
  readonly policy: HelperPolicy;
}

/** An access key of the helper's IAM user. Its secret is a Pulumi secret. */
export type AccessKeyPair = Readonly<Record<"id" | "secret", pulumi.Output<string>>>;

/** The helper's user or role as created, with what its pod needs. The stack does not know the role of the nodes. */
export type AwsPrincipal =
  | { readonly mode: "accessKey"; readonly userName: pulumi.Output<string>; readonly accessKey: AccessKeyPair }
  | { readonly mode: "irsa"; readonly roleArn: pulumi.Output<string> }
  | { readonly mode: "podIdentity"; readonly roleArn: pulumi.Output<string>; readonly eks: EksCluster }
  | { readonly mode: "kube2iam"; readonly roleArn: pulumi.Output<string>; readonly roleName: string }
  | { readonly mode: "node" };

/**
 * The IAM user or role, its policies, and the roles that the helper assumes. Resources that depend on this component are
 * created after the policies are attached and the Pod Identity association exists.
 */
export class Identity extends pulumi.ComponentResource {
  readonly policyArn: pulumi.Output<string>;
  readonly principal: AwsPrincipal;
  /** ARN of the role that pushes; undefined if nothing is pushed. */
  readonly pushRoleArn: pulumi.Output<string> | undefined;
  /** ARNs of the groups' own roles, by the group's name. */
  readonly groupRoleArns: Readonly<Record<string, pulumi.Output<string>>>;
  readonly #name: string;
  readonly #args: IdentityArgs;

  constructor(name: string, args: IdentityArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Identity", name, {}, opts);
    [this.#name, this.#args] = [name, args];

    // A resource with a name in IAM has the same name in Pulumi, so that a rename is a new resource, created before the
    // old one is deleted. Under a fixed name the AWS provider would delete the old one first, and until then the helper
    // had no identity:
    // https://github.com/pulumi/pulumi-terraform-bridge/blob/main/pkg/tfbridge/provider.go, nameRequiresDeleteBeforeReplace
    this.policyArn = this.#policy(args.policyName, args.policy, this.#aliased());
    this.principal = this.#principal(args.identity);
    if (args.push !== undefined) this.pushRoleArn = this.#assumedRole(args.push);
    const groups = Object.entries(args.groups);
    this.groupRoleArns = Object.fromEntries(groups.map(([group, role]) => [group, this.#assumedRole(role)]));
    this.registerOutputs({ policyArn: this.policyArn });
  }

  #principal(identity: ResolvedIdentity): AwsPrincipal {
    const { mode } = identity;
    switch (mode) {
      case "accessKey": {
        const user = this.#user(identity);
        return { mode, userName: user.name, accessKey: this.#accessKey(user, identity.generation) };
      }
      case "irsa": {
        const trust = this.#webIdentityTrust(identity.provider);
        return { mode, roleArn: this.#helperRole(identity.roleName, trust).arn };
      }
      case "podIdentity": {
        const { eks } = identity;
        const role = this.#helperRole(identity.roleName, podIdentityTrust(eks.arn, this.#args.serviceAccount));
        this.#associate(role, eks);
        return { mode, roleArn: role.arn, eks };
      }
      case "kube2iam": {
        const { roleName, trustedPrincipals } = identity;
        return { mode, roleArn: this.#helperRole(roleName, principalTrust(trustedPrincipals)).arn, roleName };
      }
      case "node":
        return { mode };
    }
  }

  #policy(name: string, policy: HelperPolicy, opts: pulumi.CustomResourceOptions): pulumi.Output<string> {
    const policyArgs = { name, description: "Helper to access to ECR", policy: JSON.stringify(policy) };
    return new Policy(name, { ...policyArgs, ...this.#path(), tags: this.#args.tags }, opts).arn;
  }

  /** For resources that had the stack's own name in Pulumi in earlier versions. */
  #aliased(): pulumi.CustomResourceOptions {
    return { parent: this, aliases: [{ name: this.#name }] };
  }

  #path(): { path?: string } {
    return this.#args.path === undefined ? {} : { path: this.#args.path };
  }

  /** The options that apply to a user or a role. */
  #iamOptions(): { path?: string; permissionsBoundary?: string; tags: Readonly<Record<string, string>> } {
    const { permissionsBoundary, tags } = this.#args;
    return { ...this.#path(), ...(permissionsBoundary === undefined ? {} : { permissionsBoundary }), tags };
  }

  #user({ userName }: ConfigOf<"accessKey">): User {
    const user = new User(userName, { name: userName, ...this.#iamOptions() }, { parent: this });
    const attachment = { user: user.name, policyArn: this.policyArn };
    new UserPolicyAttachment(`${userName}-${this.#args.policyName}`, attachment, this.#aliased());
    return user;
  }

  /** A new generation is a new resource; the old key is deleted after everything that used it. */
  #accessKey(user: User, generation: number): AccessKeyPair {
    const key = new AccessKey(`${this.#name}-${String(generation)}`, { user: user.name }, { parent: this });
    return { id: key.id, secret: pulumi.secret(key.secret) };
  }

  #helperRole(roleName: string, trust: pulumi.Input<TrustPolicy>): Role {
    return this.#role(roleName, trust, { name: this.#args.policyName, arn: this.policyArn }, this.#aliased());
  }

  /** A role with a policy attached to it. */
  #role(
    name: string,
    trust: pulumi.Input<TrustPolicy>,
    policy: { readonly name: string; readonly arn: pulumi.Input<string> },
    attachmentOptions: pulumi.CustomResourceOptions = { parent: this },
  ): Role {
    const assumeRolePolicy = pulumi.output(trust).apply((document) => JSON.stringify(document));
    const roleArgs = { name, description: "Helper to access to ECR", assumeRolePolicy, ...this.#iamOptions() };
    const role = new Role(name, roleArgs, { parent: this });
    new RolePolicyAttachment(`${name}-${policy.name}`, { role: role.name, policyArn: policy.arn }, attachmentOptions);
    return role;
  }

  #assumedRole({ roleName, policyName, policy }: AssumedRole): pulumi.Output<string> {
    const arn = this.#policy(policyName, policy, { parent: this });
    const { own, identity } = this.#args;
    const trust = helperTrust(own, helperArn(this.#args, own), assumeActions(identity.mode));
    return this.#role(roleName, trust, { name: policyName, arn }).arn;
  }

  #webIdentityTrust({ issuer, arn }: OidcProvider): pulumi.Output<TrustPolicy> {
    const { serviceAccount, tags } = this.#args;
    const providerArgs = { url: issuer, clientIdLists: [audience], tags };
    const providerArn = arn ?? new OpenIdConnectProvider(this.#name, providerArgs, { parent: this }).arn;
    const host = issuer.replace("https://", "");
    return pulumi.output(providerArn).apply((known) => webIdentityTrust(known, host, serviceAccount));
  }

  #associate(role: Role, eks: EksCluster): void {
    const { serviceAccount, tags } = this.#args;
    new PodIdentityAssociation(
      this.#name,
      {
        clusterName: eks.name,
        namespace: serviceAccount.namespace,
        serviceAccount: serviceAccount.name,
        roleArn: role.arn,
        tags,
      },
      { parent: this },
    );
  }
}
