// What the in-process engine remembers of a stack between runs: one file that only its owner may read, replaced as a whole
// at every change, so that no end of the process leaves half of it. It holds secrets, and is encrypted with the empty
// passphrase, as the pulumi command encrypts the secrets of Pulumi.dev.yaml's stack.
import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type Properties = Record<string, unknown>;

export interface ResourceState {
  readonly type: string;
  readonly name: string;
  /** False for a component: it has no life of its own. */
  readonly custom: boolean;
  readonly id: string;
  readonly inputs: Properties;
  readonly outputs: Properties;
  /** Inputs of the explicit provider, where the program names one. */
  readonly provider: Properties;
  /** Since when it is being created, in ISO 8601: a run that ended then may or may not have made it. */
  readonly creating?: string;
}

interface Content {
  /** In an order that their dependencies agree with: what is needed comes before what needs it. */
  resources: ResourceState[];
  /** Replaced by others and still to be deleted. */
  replaced: ResourceState[];
  outputs: Properties;
}

/** In bytes. */
const sizes = { salt: 16, key: 32, iv: 12, tag: 16 };

export class StateFile {
  readonly #file: string;
  readonly #content: Content;
  readonly #salt: Buffer;
  readonly #key: Buffer;

  constructor(folder: string) {
    this.#file = join(folder, "state");
    const encrypted = existsSync(this.#file) ? readFileSync(this.#file) : undefined;
    this.#salt = encrypted?.subarray(0, sizes.salt) ?? randomBytes(sizes.salt);
    this.#key = scryptSync("", this.#salt, sizes.key);
    this.#content = encrypted === undefined ? { resources: [], replaced: [], outputs: {} } : this.#decrypt(encrypted);
  }

  #decrypt(encrypted: Buffer): Content {
    const [ivEnd, tagEnd] = [sizes.salt + sizes.iv, sizes.salt + sizes.iv + sizes.tag];
    const decipher = createDecipheriv("aes-256-gcm", this.#key, encrypted.subarray(sizes.salt, ivEnd));
    decipher.setAuthTag(encrypted.subarray(ivEnd, tagEnd));
    const text = Buffer.concat([decipher.update(encrypted.subarray(tagEnd)), decipher.final()]);
    return JSON.parse(text.toString()) as Content;
  }

  get outputs(): Properties {
    return this.#content.outputs;
  }

  get all(): readonly ResourceState[] {
    return [...this.#content.resources, ...this.#content.replaced];
  }

  find(type: string, name: string): ResourceState | undefined {
    return this.#content.resources.find((one) => one.type === type && one.name === name);
  }

  /** Adds a resource, or puts it in the place of the one of the same type and name. */
  put(resource: ResourceState): void {
    const { resources } = this.#content;
    const index = resources.findIndex((one) => one.type === resource.type && one.name === resource.name);
    if (index === -1) resources.push(resource);
    else resources[index] = resource;
    this.#save();
  }

  /** Sets a resource aside to be deleted when all that used it uses its replacement. */
  setAside(resource: ResourceState): void {
    this.#content.resources = this.#content.resources.filter((one) => one !== resource);
    this.#content.replaced.push(resource);
    this.#save();
  }

  remove(resource: ResourceState): void {
    this.#content.resources = this.#content.resources.filter((one) => one !== resource);
    this.#content.replaced = this.#content.replaced.filter((one) => one !== resource);
    this.#save();
  }

  /** Puts the resources, all of which are given, into an order that their dependencies agree with. */
  order(resources: readonly ResourceState[]): void {
    this.#content.resources = [...resources];
    this.#save();
  }

  putOutputs(outputs: Properties): void {
    this.#content.outputs = outputs;
    this.#save();
  }

  #save(): void {
    const iv = randomBytes(sizes.iv);
    const cipher = createCipheriv("aes-256-gcm", this.#key, iv);
    const encrypted = [cipher.update(JSON.stringify(this.#content)), cipher.final()];
    const parts = [this.#salt, iv, cipher.getAuthTag(), ...encrypted];
    writeFileSync(`${this.#file}.new`, Buffer.concat(parts), { mode: 0o600 });
    renameSync(`${this.#file}.new`, this.#file);
  }
}
