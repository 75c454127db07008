// Who the helper is to AWS: a user with an access key that may ask ECR for authorization tokens and nothing else.
import { AccessKey } from "@pulumi/aws/iam/accessKey.js";
import { Policy } from "@pulumi/aws/iam/policy.js";
import { User } from "@pulumi/aws/iam/user.js";
import { UserPolicyAttachment } from "@pulumi/aws/iam/userPolicyAttachment.js";
import * as pulumi from "@pulumi/pulumi";

export interface IdentityArgs {
  readonly policyName: string;
  readonly userName: string;
  /** A higher one makes a new key; the old one goes when everything uses the new one. */
  readonly accessKeyGeneration: number;
}

export interface AccessKeyPair {
  readonly id: pulumi.Output<string>;
  /** A Pulumi secret. */
  readonly secret: pulumi.Output<string>;
}

/** The origin's policy. ECR's tokens are per registry, not per repository: the action takes no other resource. */
const policyDocument = {
  Version: "2012-10-17",
  Statement: [{ Sid: "ECRKnativeToken", Effect: "Allow", Resource: ["*"], Action: ["ecr:GetAuthorizationToken"] }],
};

export class Identity extends pulumi.ComponentResource {
  readonly policyArn: pulumi.Output<string>;
  readonly userName: pulumi.Output<string>;
  /** Resolves only after the policy is attached: who uses the key finds it allowed. */
  readonly accessKey: AccessKeyPair;

  constructor(name: string, args: IdentityArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Identity", name, {}, opts);
    const inside = { parent: this };

    const policy = new Policy(
      name,
      { name: args.policyName, description: "Helper to access to ECR", policy: JSON.stringify(policyDocument) },
      inside,
    );
    const user = new User(name, { name: args.userName }, inside);
    const attachment = new UserPolicyAttachment(name, { user: user.name, policyArn: policy.arn }, inside);
    const generation = String(args.accessKeyGeneration);
    const key = new AccessKey(`${name}-${generation}`, { user: user.name }, { ...inside, dependsOn: attachment });

    this.policyArn = policy.arn;
    this.userName = user.name;
    this.accessKey = { id: key.id, secret: pulumi.secret(key.secret) };
    this.registerOutputs({ policyArn: this.policyArn, userName: this.userName });
  }
}
