// The helper's image: built from the bundle on the base image and pushed to the repository, or built by somebody else.
import { Image } from "@pulumi/docker/image.js";
import * as pulumi from "@pulumi/pulumi";
import { buildContext, bundleHelper, dockerfile } from "./bundle.ts";
import type { ImageBase, ImageConfig } from "./config/image.ts";
import { registryLogin, type RegistryLogin } from "./registry-login.ts";
import type { Registry } from "./registry.ts";

/** The image that the cluster runs. */
export interface DeployedImage {
  /** `HOST/NAME@sha256:...`. */
  readonly ref: pulumi.Input<string>;
  /** A login that can pull it, for 12 hours; undefined for a registry other than ECR. */
  readonly login: RegistryLogin | undefined;
}

/** Where the stack pushes an image that it builds. */
interface Target {
  /** The registry's host, `HOST` or `HOST:PORT`. */
  readonly registryHost: pulumi.Input<string>;
  readonly repositoryName: string;
}

/** Builds and pushes the image, once the repository exists, unless somebody else has built it. Throws as HelperImage. */
export function helperImage(
  name: string,
  image: ImageConfig,
  { own, repository, ...target }: Target & { readonly own: Registry; readonly repository: pulumi.Resource },
): DeployedImage {
  if (!("ref" in image)) return new HelperImage(name, { ...image, ...target }, { dependsOn: repository });
  const { ref, host, registry } = image;
  // A token is valid for the registries of its region.
  const region = registry === undefined || registry.region === own.region ? {} : { region: registry.region };
  return { ref, login: registry && registryLogin(host, region) };
}

/** Arguments of HelperImage. */
type HelperImageArgs = ImageBase & Target;

/**
 * Bundles the helper, builds its image and pushes it. The constructor throws a RunError if the helper does not bundle.
 */
class HelperImage extends pulumi.ComponentResource implements DeployedImage {
  readonly ref: pulumi.Output<string>;
  /** The login that pushed the image. */
  readonly login: RegistryLogin;

  constructor(name: string, args: HelperImageArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:HelperImage", name, {}, opts);
    const tag = bundleHelper(args);

    this.login = registryLogin(args.registryHost, {}, { parent: this });
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
