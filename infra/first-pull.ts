// How the cluster pulls the helper's image before the helper keeps a login for it: with the login of whoever runs
// `pulumi up`, which stays in the cluster only until the rollout is complete.
import { createHash } from "node:crypto";
import { Secret } from "@pulumi/kubernetes/core/v1/secret.js";
import { SecretPatch } from "@pulumi/kubernetes/core/v1/secretPatch.js";
import type { Provider } from "@pulumi/kubernetes/provider.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import type { RegistryLogin } from "./registry-login.ts";
import { dockerConfigKey, dockerConfigType, encodeAuth, encodeDockerConfig } from "../helper/shared/docker-config.ts";

/** Arguments of FirstPull. */
export interface FirstPullArgs {
  /** Metadata of the secret, without its name. */
  readonly metadata: Omit<input.meta.v1.ObjectMeta, "name" | "labels"> & {
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly login: RegistryLogin;
  /** Name of the pull secret that the helper keeps. */
  readonly pullSecret: string;
  /** IAM path of the helper's user or role. */
  readonly path: string | undefined;
  /** The host of an image that somebody else built. */
  readonly host: string | undefined;
}

/** The prefix of the names of these secrets. */
const firstPullPrefix = "ecr-helper-image-";

/** What is expected instead of a secret's name that the stack itself uses, `app` among them; undefined for any other one. */
export const ownNameMistake = (name: string, app: string): string | undefined =>
  name === app || name.startsWith(firstPullPrefix)
    ? `another name: the stack's own secrets are ${app}, and ${firstPullPrefix}...`
    : undefined;

const hashOf = (parts: readonly string[]): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 8);

/**
 * The name of the secret, where the stack builds the image. It contains a hash of everything that makes the old helper's
 * login useless for the new pod: another host, another pull secret, or another IAM path, with which the old role is
 * deleted before the pull.
 */
export const firstPullName = (host: string, pullSecret: string, path = "/"): string =>
  firstPullPrefix + hashOf([host, pullSecret, path]);

/**
 * The name of the secret in the stack, with a hash of what the configuration says of these. So another one is another
 * resource: after a rollout that failed, the last one is there for a `pulumi up` that goes back. Of an image that somebody
 * else built it says the host, too, and this is also the secret's name in Kubernetes.
 */
export const firstPullResource = (pullSecret: string, path = "/", host?: string): string =>
  firstPullPrefix + hashOf([pullSecret, path, ...(host === undefined ? [] : [host])]);

/** The pull secret of the first pod. */
export class FirstPull {
  readonly secretName: pulumi.Output<string>;
  /** Annotations of the pod template: a new secret starts a new rollout, which completes once its login was used. */
  readonly annotations: Readonly<Record<string, pulumi.Output<string>>>;
  readonly #name: string;
  readonly #secret: Secret;
  readonly #parent: pulumi.Resource;

  constructor({ metadata, login, pullSecret, path, host }: FirstPullArgs, parent: pulumi.Resource) {
    [this.#name, this.#parent] = [firstPullResource(pullSecret, path, host), parent];
    const labels = { ...metadata.labels, "app.kubernetes.io/component": "first-pull" };
    const secretMetadata = {
      ...metadata,
      labels,
      name: host === undefined ? login.server.apply((server) => firstPullName(server, pullSecret, path)) : this.#name,
    };
    const stringData = { [dockerConfigKey]: dockerConfigOf(login) };
    // The login differs on every run, and is not needed any more once the helper keeps its own.
    const ignoreChanges = ["data", "stringData"];
    // Earlier versions had one resource for all of them.
    const opts = { parent, ignoreChanges, aliases: [{ name: "ecr-helper-image" }] };
    this.#secret = new Secret(this.#name, { metadata: secretMetadata, type: dockerConfigType, stringData }, opts);
    this.secretName = this.#secret.metadata.name;
    this.annotations = { "ecr-helper/first-pull": this.#secret.metadata.uid };
  }

  /**
   * Removes the login from the secret after the rollout: by then the helper keeps a pull secret in this namespace
   * itself.
   */
  emptyAfter(rollout: pulumi.Resource, provider: Provider): void {
    const { name, namespace, uid } = this.#secret.metadata;
    // The uid makes a new patch for a new secret. Without force the field stays with its first manager, and so does the
    // login.
    const annotations = { "pulumi.com/patchForce": "true", "ecr-helper/emptied": uid };
    const data = { [dockerConfigKey]: Buffer.from(encodeDockerConfig({})).toString("base64") };
    // Deleting the patch would remove the key, and Kubernetes rejects a secret of this type without it.
    const opts = { parent: this.#parent, provider, dependsOn: rollout, retainOnDelete: true };
    new SecretPatch(`${this.#name}-emptied`, { metadata: { name, namespace, annotations }, data }, opts);
  }
}

const dockerConfigOf = ({ server, username, password }: RegistryLogin): pulumi.Output<string> =>
  pulumi.secret(
    pulumi
      .all([server, username, password])
      .apply(([host, user, word]) => encodeDockerConfig({ [host]: encodeAuth(user, word) })),
  );
