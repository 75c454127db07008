// The ECR repository of the helper's image.
import { LifecyclePolicy } from "@pulumi/aws/ecr/lifecyclePolicy.js";
import { Repository as EcrRepository } from "@pulumi/aws/ecr/repository.js";
import { RepositoryPolicy } from "@pulumi/aws/ecr/repositoryPolicy.js";
import * as pulumi from "@pulumi/pulumi";
import type { Registry } from "./registry.ts";
import type { RepositoryConfig } from "./config/repository.ts";
import { repositoryPolicy } from "./repository-policy.ts";

export interface RepositoryArgs extends RepositoryConfig {
  readonly tags: Readonly<Record<string, string>>;
  /** Where it is made. */
  readonly registry: Registry;
}

const keptImages = 10;

/** A repository that keeps its last images and is open to its principals only. */
export class Repository extends pulumi.ComponentResource {
  /** `HOST/NAME`, by which images are pushed and pulled. */
  readonly url: pulumi.Output<string>;
  /** The registry's host. */
  readonly host: pulumi.Output<string>;

  constructor(name: string, args: RepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Repository", name, {}, opts);
    const childOptions = { parent: this };

    // By its name in ECR: one of another name is made before the old one goes, whose images are in use until then.
    const repository = new EcrRepository(
      args.repositoryName,
      {
        name: args.repositoryName,
        forceDelete: args.forceDelete,
        imageTagMutability: args.tagMutability,
        imageScanningConfiguration: { scanOnPush: args.scanOnPush },
        encryptionConfigurations: [encryptionBy(args.encryption)],
        tags: args.tags,
      },
      childOptions,
    );
    const own = { repository: repository.name };
    const policy = repositoryPolicy(args.repositoryPrincipals, args.registry);
    new RepositoryPolicy(args.repositoryName, { ...own, policy }, childOptions);
    new LifecyclePolicy(args.repositoryName, { ...own, policy: JSON.stringify(lifecyclePolicy) }, childOptions);

    this.url = repository.repositoryUrl;
    this.host = repository.repositoryUrl.apply((url) => url.split("/")[0] ?? "");
    this.registerOutputs({ url: this.url });
  }
}

/** Said also where it is the default: the provider takes no notice of an encryption that is not said any more. */
const encryptionBy = (key: string): { encryptionType: string; kmsKey?: string } =>
  key.startsWith("arn:") ? { encryptionType: "KMS", kmsKey: key } : { encryptionType: key };

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
