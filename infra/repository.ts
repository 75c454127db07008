// The ECR repository of the helper's image.
import { LifecyclePolicy } from "@pulumi/aws/ecr/lifecyclePolicy.js";
import { Repository as EcrRepository } from "@pulumi/aws/ecr/repository.js";
import { RepositoryPolicy } from "@pulumi/aws/ecr/repositoryPolicy.js";
import * as pulumi from "@pulumi/pulumi";
import type { Registry } from "./registry.ts";
import type { RepositoryConfig } from "./config/repository.ts";
import { repositoryPolicy } from "./repository-policy.ts";

/** Arguments of Repository. */
export interface RepositoryArgs extends RepositoryConfig {
  readonly tags: Readonly<Record<string, string>>;
  /** The registry that the repository is created in. */
  readonly registry: Registry;
}

const keptImages = 10;

/**
 * The repository, with a lifecycle policy that keeps the last images and a policy that lets only its principals pull.
 */
export class Repository extends pulumi.ComponentResource {
  /** `HOST/NAME`. */
  readonly url: pulumi.Output<string>;
  /** The registry's host. */
  readonly host: pulumi.Output<string>;

  constructor(name: string, args: RepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Repository", name, {}, opts);
    const childOptions = { parent: this };

    // Named as in ECR, so that a rename creates the new repository before it deletes the old one, whose images are in
    // use until then.
    const repository = new EcrRepository(
      args.repositoryName,
      {
        name: args.repositoryName,
        forceDelete: args.forceDelete,
        imageTagMutability: args.tagMutability,
        imageScanningConfiguration: { scanOnPush: args.scanOnPush },
        encryptionConfigurations: [encryptionConfiguration(args.encryption)],
        tags: args.tags,
      },
      childOptions,
    );
    const target = { repository: repository.name };
    const policy = repositoryPolicy(args.repositoryPrincipals, args.registry);
    new RepositoryPolicy(args.repositoryName, { ...target, policy }, childOptions);
    new LifecyclePolicy(args.repositoryName, { ...target, policy: JSON.stringify(lifecyclePolicy) }, childOptions);

    this.url = repository.repositoryUrl;
    this.host = repository.repositoryUrl.apply((url) => url.split("/")[0] ?? "");
    this.registerOutputs({ url: this.url });
  }
}

/** Explicit even for the default: the provider does not notice an encryption that is removed from the inputs. */
const encryptionConfiguration = (key: string): { encryptionType: string; kmsKey?: string } =>
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
