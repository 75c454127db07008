// The helper's image: bundled to one file, built on the base image, pushed to the repository.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
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
const main = `${context}/main.js`;
/** Beside the context, so that the image's content says nothing of this machine. */
const stampFile = "build/helper.seal";
/** npm's own note of what node_modules holds: package-lock.json may be ahead of it. Without it nothing is known. */
const installedPackages = "node_modules/.package-lock.json";
const dockerfile = "helper/Dockerfile";

/** How the helper becomes one file. */
export const bundling: BuildOptions = {
  entryPoints: ["helper/main.ts"],
  outfile: main,
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
    if (!isBundleCurrent()) {
      buildSync(bundling);
      writeFileSync(stampFile, bundleStamp(readFileSync(main)));
    }
  } catch (error) {
    // esbuild's error is a dump of all it knows; its message alone has the file, the line and what is wrong there.
    throw new pulumi.RunError(`The helper does not bundle. ${error instanceof Error ? error.message : String(error)}`);
  }
  return hashOf([JSON.stringify([baseImage, platform]), readFileSync(dockerfile), readFileSync(main)]).slice(0, 12);
}

/** Whether the bundle is there, made of what is there now: to make it again takes a third of the program's time. */
const isBundleCurrent = (): boolean =>
  [main, stampFile, installedPackages].every(existsSync) &&
  readFileSync(stampFile, "utf8") === bundleStamp(readFileSync(main));

/** Stands for a bundle and all that it is made of: the helper's files, what is installed, and how they become one. */
function bundleStamp(made: Buffer): string {
  const files = readdirSync("helper", { encoding: "utf8", recursive: true }).filter((name) => name.endsWith(".ts"));
  const packages = existsSync(installedPackages) ? readFileSync(installedPackages) : "";
  return hashOf([
    JSON.stringify(bundling),
    packages,
    made,
    ...files.sort().flatMap((file) => [file, readFileSync(`helper/${file}`)]),
  ]);
}

function hashOf(parts: readonly (string | Buffer)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
}
