// Who the helper is to AWS: the policy that says what it may do in ECR, and who has it.
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
import type { IamOptions, IdentityConfig } from "./config/identity.ts";
import type { HelperPolicy } from "./image-rights.ts";
import type { OidcProvider } from "./oidc.ts";
import type { Registry } from "./registry.ts";
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

export interface IdentityArgs extends IamOptions {
  readonly policyName: string;
  readonly policy: HelperPolicy;
  readonly identity: IdentityConfig;
  /** The role that pushes; undefined where nothing is pushed. */
  readonly push: PushRole | undefined;
  /** The stack's account. */
  readonly own: Registry;
  /** The helper's own. */
  readonly serviceAccount: ServiceAccountName;
  /** Needed by podIdentity. */
  readonly eks: EksCluster | undefined;
  /** Needed by irsa. */
  readonly oidc: OidcProvider | undefined;
}

/** A role that the helper assumes for the logins that push, so that those that pull cannot. */
export interface PushRole {
  readonly roleName: string;
  readonly policyName: string;
  readonly policy: HelperPolicy;
}

export interface AccessKeyPair {
  readonly id: pulumi.Output<string>;
  /** A Pulumi secret. */
  readonly secret: pulumi.Output<string>;
}

type Named = Pick<IdentityArgs, "identity" | "path">;

/** The ARN of the user or role before it is made; undefined of the nodes' role, which the stack does not know. */
export function helperArn({ identity, path = "/" }: Named, own: Registry): string | undefined {
  if (identity.mode === "node") return undefined;
  const entityName =
    identity.mode === "accessKey" ? `user${path}${identity.userName}` : `role${path}${identity.roleName}`;
  return iamArn(own, entityName);
}

/** The ARN of a role before it is made. */
export const roleArn = (roleName: string, { path = "/" }: Pick<Named, "path">, own: Registry): string =>
  iamArn(own, `role${path}${roleName}`);

const iamArn = ({ partition, accountId }: Registry, entity: string): string =>
  `arn:${partition}:iam::${accountId}:${entity}`;

type Of<Mode> = Extract<IdentityConfig, { mode: Mode }>;

/** What depends on this component finds the policy attached, and the association made. */
export class Identity extends pulumi.ComponentResource {
  readonly policyArn: pulumi.Output<string>;
  /** Of accessKey only. */
  readonly userName: pulumi.Output<string> | undefined;
  /** Of accessKey only. */
  readonly accessKey: AccessKeyPair | undefined;
  /** Of the identities with a role. */
  readonly roleArn: pulumi.Output<string> | undefined;
  /** Of the role that pushes. */
  readonly pushRoleArn: pulumi.Output<string> | undefined;
  readonly #name: string;
  readonly #args: IdentityArgs;

  constructor(name: string, args: IdentityArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Identity", name, {}, opts);
    [this.#name, this.#args] = [name, args];

    // What has a name in IAM has it in Pulumi, too: under another name it is another resource, which is made before the old
    // one goes. As the same one, AWS' provider would delete it first, and the helper would be nobody until then:
    // https://github.com/pulumi/pulumi-terraform-bridge/blob/main/pkg/tfbridge/provider.go, nameRequiresDeleteBeforeReplace
    this.policyArn = this.#policy(args.policyName, args.policy, this.#renamed());
    if (args.identity.mode === "accessKey") {
      const user = this.#user(args.identity);
      this.userName = user.name;
      this.accessKey = this.#key(user, args.identity.generation);
    } else if (args.identity.mode !== "node") {
      const policy = { name: args.policyName, arn: this.policyArn };
      const role = this.#role(args.identity.roleName, this.#trust(args.identity), policy, this.#renamed());
      this.roleArn = role.arn;
      if (args.identity.mode === "podIdentity") this.#associate(role);
    }
    if (args.push !== undefined) this.pushRoleArn = this.#pushRole(args.push);
    this.registerOutputs({ policyArn: this.policyArn });
  }

  #policy(name: string, policy: HelperPolicy, opts: pulumi.CustomResourceOptions): pulumi.Output<string> {
    const named = { name, description: "Helper to access to ECR", policy: JSON.stringify(policy) };
    return new Policy(name, { ...named, ...this.#path(), tags: this.#args.tags }, opts).arn;
  }

  /** Of what had the stack's own name in Pulumi before. */
  #renamed(): pulumi.CustomResourceOptions {
    return { parent: this, aliases: [{ name: this.#name }] };
  }

  #path(): { path?: string } {
    return this.#args.path === undefined ? {} : { path: this.#args.path };
  }

  /** What a user or a role takes. */
  #hardening(): { path?: string; permissionsBoundary?: string; tags: Readonly<Record<string, string>> } {
    const { permissionsBoundary, tags } = this.#args;
    return { ...this.#path(), ...(permissionsBoundary === undefined ? {} : { permissionsBoundary }), tags };
  }

  #user({ userName }: Of<"accessKey">): User {
    const user = new User(userName, { name: userName, ...this.#hardening() }, { parent: this });
    const attached = { user: user.name, policyArn: this.policyArn };
    new UserPolicyAttachment(`${userName}-${this.#args.policyName}`, attached, this.#renamed());
    return user;
  }

  /** A new generation is another resource: it is made before the old one goes, which waits for all that used it. */
  #key(user: User, generation: number): AccessKeyPair {
    const key = new AccessKey(`${this.#name}-${String(generation)}`, { user: user.name }, { parent: this });
    return { id: key.id, secret: pulumi.secret(key.secret) };
  }

  /** A role with a policy attached. */
  #role(
    name: string,
    trust: pulumi.Input<TrustPolicy>,
    policy: { readonly name: string; readonly arn: pulumi.Input<string> },
    attaching: pulumi.CustomResourceOptions = { parent: this },
  ): Role {
    const assumeRolePolicy = pulumi.output(trust).apply((document) => JSON.stringify(document));
    const made = { name, description: "Helper to access to ECR", assumeRolePolicy, ...this.#hardening() };
    const role = new Role(name, made, { parent: this });
    new RolePolicyAttachment(`${name}-${policy.name}`, { role: role.name, policyArn: policy.arn }, attaching);
    return role;
  }

  #pushRole({ roleName, policyName, policy }: PushRole): pulumi.Output<string> {
    const arn = this.#policy(policyName, policy, { parent: this });
    const { own, identity } = this.#args;
    const trust = helperTrust(own, helperArn(this.#args, own), assumeActions(identity.mode));
    return this.#role(roleName, trust, { name: policyName, arn }).arn;
  }

  #trust(identity: Of<"irsa" | "podIdentity" | "kube2iam">): pulumi.Input<TrustPolicy> {
    const { eks, serviceAccount } = this.#args;
    switch (identity.mode) {
      case "irsa":
        return this.#webIdentity();
      case "podIdentity":
        return podIdentityTrust(eks?.arn ?? "", serviceAccount);
      case "kube2iam":
        return principalTrust(identity.trustedPrincipals);
    }
  }

  #webIdentity(): pulumi.Output<TrustPolicy> {
    const { oidc: { issuer, arn } = { issuer: "", arn: undefined }, serviceAccount, tags } = this.#args;
    const made = { url: issuer, clientIdLists: [audience], tags };
    const provider = arn ?? new OpenIdConnectProvider(this.#name, made, { parent: this }).arn;
    const host = issuer.replace("https://", "");
    return pulumi.output(provider).apply((providerArn) => webIdentityTrust(providerArn, host, serviceAccount));
  }

  #associate(role: Role): void {
    const { eks, serviceAccount, tags } = this.#args;
    new PodIdentityAssociation(
      this.#name,
      {
        clusterName: eks?.name ?? "",
        namespace: serviceAccount.namespace,
        serviceAccount: serviceAccount.name,
        roleArn: role.arn,
        tags,
      },
      { parent: this },
    );
  }
}
