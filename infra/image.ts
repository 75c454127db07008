// The helper's image: built from the bundle on the base image, and pushed to the repository.
import { getAuthorizationTokenOutput } from "@pulumi/aws/ecr/getAuthorizationToken.js";
import { Image } from "@pulumi/docker/image.js";
import * as pulumi from "@pulumi/pulumi";
import { buildContext, bundleHelper, dockerfile, type ImageBase } from "./bundle.ts";

/** Arguments of HelperImage. */
export interface HelperImageArgs extends ImageBase {
  /** The registry's host, `HOST` or `HOST:PORT`. */
  readonly registryHost: pulumi.Input<string>;
  readonly repositoryName: string;
}

/** A docker login for the stack's own registry. */
export interface RegistryLogin {
  /** The registry's host, `HOST` or `HOST:PORT`. */
  readonly server: pulumi.Output<string>;
  readonly username: pulumi.Output<string>;
  /** A Pulumi secret; a new one on every run. */
  readonly password: pulumi.Output<string>;
}

/**
 * Bundles the helper, builds its image and pushes it. The constructor throws a RunError if the helper does not bundle.
 */
export class HelperImage extends pulumi.ComponentResource {
  /** `HOST/NAME@sha256:...`. */
  readonly ref: pulumi.Output<string>;
  /** The login that pushed the image; it can also pull it, for 12 hours. */
  readonly login: RegistryLogin;

  constructor(name: string, args: HelperImageArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:HelperImage", name, {}, opts);
    const tag = bundleHelper(args);

    const token = getAuthorizationTokenOutput({}, { parent: this });
    this.login = {
      server: pulumi.output(args.registryHost),
      username: token.userName,
      password: pulumi.secret(token.password),
    };
    const image = new Image(
      name,
      {
        imageName: pulumi.interpolate`${args.registryHost}/${args.repositoryName}:${tag}`,
        build: { context: buildContext, dockerfile, platform: args.platform, args: { BASE_IMAGE: args.baseImage } },
        registry: this.login,
      },
      { parent: this },
    );

    this.ref = image.repoDigest;
    this.registerOutputs({ ref: this.ref });
  }
}
