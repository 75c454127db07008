// How the cluster pulls the helper's image before the helper keeps a login for it: by the login of who runs `pulumi up`, which is
// in the cluster for that pull only.
import { createHash } from "node:crypto";
import { Secret } from "@pulumi/kubernetes/core/v1/secret.js";
import { SecretPatch } from "@pulumi/kubernetes/core/v1/secretPatch.js";
import type { Provider } from "@pulumi/kubernetes/provider.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import type { RegistryLogin } from "./image.ts";
import { dockerConfigKey, dockerConfigType, encodeAuth, encodeDockerConfig } from "../helper/shared/docker-config.ts";

export interface FirstPullArgs {
  /** Of the secret, but for its name. */
  readonly metadata: Omit<input.meta.v1.ObjectMeta, "name" | "labels"> & {
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly login: RegistryLogin;
  /** The name of the one that the helper keeps. */
  readonly pullSecret: string;
  /** In IAM, of the helper's user or role. */
  readonly path: string | undefined;
}

/** How the names of these secrets begin. */
export const firstPullPrefix = "ecr-helper-image-";

/**
 * The name of the secret for a pull that no helper has kept a login for: by another name, or at another host, the login of the last
 * helper is of no use to the next one, and with another path its role is gone before.
 */
export const firstPullName = (host: string, pullSecret: string, path = "/"): string =>
  firstPullPrefix +
  createHash("sha256")
    .update(JSON.stringify([host, pullSecret, path]))
    .digest("hex")
    .slice(0, 8);

/** The pull secret of the first pod. */
export class FirstPull {
  readonly secretName: pulumi.Output<string>;
  /** Of the pod template: another secret is another rollout, which is over when its login was of use. */
  readonly annotations: Readonly<Record<string, pulumi.Output<string>>>;
  readonly #name: string;
  readonly #secret: Secret;
  readonly #parent: pulumi.Resource;

  constructor(name: string, { metadata, login, pullSecret, path }: FirstPullArgs, parent: pulumi.Resource) {
    [this.#name, this.#parent] = [name, parent];
    const labels = { ...metadata.labels, "app.kubernetes.io/component": "first-pull" };
    const named = { ...metadata, labels, name: login.server.apply((host) => firstPullName(host, pullSecret, path)) };
    const stringData = { [dockerConfigKey]: configOf(login) };
    // Another login at every run: none of them is of use once the helper keeps its own.
    const opts = { parent, ignoreChanges: ["data", "stringData"] };
    this.#secret = new Secret(name, { metadata: named, type: dockerConfigType, stringData }, opts);
    this.secretName = this.#secret.metadata.name;
    this.annotations = { "ecr-helper/first-pull": this.#secret.metadata.uid };
  }

  /** Takes the login out of the secret when a rollout is over: by then the helper keeps a pull secret here itself. */
  emptyAfter(rollout: pulumi.Resource, provider: Provider): void {
    const { name, namespace, uid } = this.#secret.metadata;
    // The uid makes it another patch for another secret. Without force the login would stay its first writer's.
    const annotations = { "pulumi.com/patchForce": "true", "ecr-helper/emptied": uid };
    const data = { [dockerConfigKey]: Buffer.from(encodeDockerConfig({})).toString("base64") };
    // To take the patch back would be to take the key out, without which Kubernetes takes no such secret.
    const opts = { parent: this.#parent, provider, dependsOn: rollout, retainOnDelete: true };
    new SecretPatch(`${this.#name}-emptied`, { metadata: { name, namespace, annotations }, data }, opts);
  }
}

const configOf = ({ server, username, password }: RegistryLogin): pulumi.Output<string> =>
  pulumi.secret(
    pulumi
      .all([server, username, password])
      .apply(([host, user, word]) => encodeDockerConfig({ [host]: encodeAuth(user, word) })),
  );
