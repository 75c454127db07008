// The ECR repository of the helper's image.
import { LifecyclePolicy } from "@pulumi/aws/ecr/lifecyclePolicy.js";
import { Repository as EcrRepository } from "@pulumi/aws/ecr/repository.js";
import { RepositoryPolicy } from "@pulumi/aws/ecr/repositoryPolicy.js";
import * as pulumi from "@pulumi/pulumi";

export interface RepositoryArgs {
  readonly name: string;
  /** Account ids, IAM ARNs or `*`; nobody but the own account when empty. */
  readonly principals: readonly string[];
  readonly forceDelete: boolean;
  readonly tags: Readonly<Record<string, string>>;
  /** The stack's own account. */
  readonly accountId: pulumi.Input<string>;
  /** `aws`, `aws-cn` or `aws-us-gov`. */
  readonly partition: pulumi.Input<string>;
}

/** The actions that the origin's repository policy allows. */
const actions = [
  "ecr:BatchCheckLayerAvailability",
  "ecr:BatchDeleteImage",
  "ecr:BatchGetImage",
  "ecr:CompleteLayerUpload",
  "ecr:DeleteRepository",
  "ecr:DeleteRepositoryPolicy",
  "ecr:DescribeRepositories",
  "ecr:GetDownloadUrlForLayer",
  "ecr:GetRepositoryPolicy",
  "ecr:InitiateLayerUpload",
  "ecr:ListImages",
  "ecr:PutImage",
  "ecr:SetRepositoryPolicy",
  "ecr:UploadLayerPart",
];

const keptImages = 10;

/** A repository that scans what is pushed, keeps its last images, and is open to its principals only. */
export class Repository extends pulumi.ComponentResource {
  /** `HOST/NAME`, by which images are pushed and pulled. */
  readonly url: pulumi.Output<string>;
  /** The registry's host. */
  readonly host: pulumi.Output<string>;

  constructor(name: string, args: RepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Repository", name, {}, opts);
    const inside = { parent: this };

    // By its name in ECR: one of another name is made before the old one goes, whose images are in use until then.
    const repository = new EcrRepository(
      args.name,
      {
        name: args.name,
        forceDelete: args.forceDelete,
        imageScanningConfiguration: { scanOnPush: true },
        tags: args.tags,
      },
      inside,
    );
    new RepositoryPolicy(args.name, { repository: repository.name, policy: repositoryPolicy(args) }, inside);
    new LifecyclePolicy(args.name, { repository: repository.name, policy: JSON.stringify(lifecyclePolicy) }, inside);

    this.url = repository.repositoryUrl;
    this.host = repository.repositoryUrl.apply((url) => url.split("/")[0] ?? "");
    this.registerOutputs({ url: this.url });
  }
}

/** The own account by its root: a principal that was made a moment ago would be refused as not found. */
function repositoryPolicy({ principals, accountId, partition }: RepositoryArgs): pulumi.Output<string> {
  const own = pulumi.interpolate`arn:${partition}:iam::${accountId}:root`;
  const principal = principals.includes("*") ? "*" : { AWS: principals.length === 0 ? [own] : [...principals] };
  const statement = { Sid: "new policy", Effect: "Allow", Principal: principal, Action: actions };
  return pulumi.jsonStringify({ Version: "2008-10-17", Statement: [statement] });
}

const lifecyclePolicy = {
  rules: [
    {
      rulePriority: 1,
      description: `keep the last ${String(keptImages)} images`,
      selection: { tagStatus: "any", countType: "imageCountMoreThan", countNumber: keptImages },
      action: { type: "expire" },
    },
  ],
};
