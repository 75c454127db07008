// Pulls all the time with the credentials of many build namespaces, as kubelets do.
import { createKubeClient, type KubeOptions } from "../../helper/kube/client.ts";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import type { Kube } from "../../helper/kube/types.ts";
import { ports } from "../local/settings.ts";
import { accountPath, pullPasswords, secretPath, type Secret, type ServiceAccount } from "../support/kept-objects.ts";
import { RegistryClient } from "../support/registry-client.ts";

/** An image in the local registry. */
export interface LoopImage {
  readonly repository: string;
  readonly reference: string;
}

/** What a loop has done. */
export interface LoopResults {
  readonly pulled: number;
  readonly failed: readonly string[];
  /** Readings in which the service account named other secrets by the time that they were read. */
  readonly renamed: number;
}

/** How many pulls run at a time. */
const lanes = 2;

/** Pulls an image with the credential of one namespace after the other, in turn. A test has to call `stop`. */
export class PullLoop {
  readonly #kube: Kube;
  readonly #image: LoopImage;
  readonly #namespaces: readonly string[];
  readonly #failed: string[] = [];
  readonly #running: Promise<unknown>;
  #next = 0;
  #pulled = 0;
  #renamed = 0;
  #isOver = false;

  /** Starts it. Each namespace has to have its credential already. */
  constructor(options: KubeOptions, namespaces: readonly string[], image: LoopImage) {
    [this.#kube, this.#namespaces, this.#image] = [createKubeClient(options), namespaces, image];
    this.#running = Promise.all(Array.from({ length: lanes }, async () => this.#pullInTurn()));
  }

  /** How many pulls have succeeded so far. */
  get pulled(): number {
    return this.#pulled;
  }

  /** Ends the loop and resolves with its results. */
  async stop(): Promise<LoopResults> {
    this.#isOver = true;
    await this.#running;
    return { pulled: this.#pulled, failed: this.#failed, renamed: this.#renamed };
  }

  async #pullInTurn(): Promise<void> {
    while (!this.#isOver) {
      const namespace = this.#namespaces[this.#next++ % this.#namespaces.length] ?? "";
      try {
        await new RegistryClient(ports.registry, await this.#password(namespace)).pull(
          this.#image.repository,
          this.#image.reference,
        );
        this.#pulled += 1;
      } catch (error) {
        this.#failed.push(`${new Date().toISOString()} ${namespace}: ${String(error)}`);
      }
    }
  }

  /** The password in the first pull secret of the service account that exists, as a kubelet leaves out those that do not. */
  async #password(namespace: string): Promise<string> {
    const account = await this.#account(namespace);
    for (const { name } of account.imagePullSecrets ?? []) {
      const secret = await undefinedIfNotFound(
        this.#kube<Secret>({ method: "GET", path: secretPath(namespace, name) }),
      );
      const [password] = secret === undefined ? [] : Object.values(pullPasswords(secret));
      if (password !== undefined) return password;
    }
    // The secrets and the service account are read one after the other: what it names may have changed in between.
    const now = await this.#account(namespace);
    if (now.metadata.resourceVersion === account.metadata.resourceVersion)
      throw new Error(`no pull secret of ${JSON.stringify(account.imagePullSecrets)} exists`);
    this.#renamed += 1;
    return this.#password(namespace);
  }

  async #account(namespace: string): Promise<ServiceAccount> {
    return this.#kube({ method: "GET", path: accountPath(namespace) });
  }
}
