// The helper's image: bundled to one file, built on the base image, pushed to the repository.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { getAuthorizationTokenOutput } from "@pulumi/aws/ecr/getAuthorizationToken.js";
import { Image } from "@pulumi/docker/image.js";
import * as pulumi from "@pulumi/pulumi";
import { buildSync, type BuildOptions } from "esbuild";

export interface HelperImageArgs {
  /** The registry's host, `HOST` or `HOST:PORT`. */
  readonly registryHost: pulumi.Input<string>;
  readonly repositoryName: string;
  readonly baseImage: string;
  readonly platform: string;
}

export interface RegistryLogin {
  readonly server: pulumi.Output<string>;
  readonly username: pulumi.Output<string>;
  /** A Pulumi secret, another one at every run. */
  readonly password: pulumi.Output<string>;
}

// Relative to the project's folder: absolute paths are inputs too, and would differ from checkout to checkout.
const context = "build/helper";
const dockerfile = "helper/Dockerfile";

/** How the helper becomes one file. */
export const bundling: BuildOptions = {
  entryPoints: ["helper/main.ts"],
  outfile: `${context}/main.js`,
  bundle: true,
  minify: true,
  platform: "node",
  target: "node24",
  legalComments: "none",
  logLevel: "silent",
};

export class HelperImage extends pulumi.ComponentResource {
  /** `HOST/NAME@sha256:...`. */
  readonly ref: pulumi.Output<string>;
  /** What pushed the image can pull it, for 12 hours. */
  readonly login: RegistryLogin;

  constructor(name: string, args: HelperImageArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:HelperImage", name, {}, opts);
    const tag = bundle(args);

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
        build: { context, dockerfile, platform: args.platform, args: { BASE_IMAGE: args.baseImage } },
        registry: this.login,
      },
      { parent: this },
    );

    this.ref = image.repoDigest;
    this.registerOutputs({ ref: this.ref });
  }
}

/**
 * Bundles the helper into the image's context and gives a tag for all that goes into the image, so that a push never
 * takes the tag of another content.
 */
function bundle({ baseImage, platform }: HelperImageArgs): string {
  try {
    buildSync(bundling);
  } catch (error) {
    // esbuild's error is a dump of all it knows; its message alone has the file, the line and what is wrong there.
    throw new pulumi.RunError(`The helper does not bundle. ${error instanceof Error ? error.message : String(error)}`);
  }
  const hash = createHash("sha256").update(JSON.stringify([baseImage, platform]));
  for (const file of [dockerfile, `${context}/main.js`]) hash.update(readFileSync(file));
  return hash.digest("hex").slice(0, 12);
}
